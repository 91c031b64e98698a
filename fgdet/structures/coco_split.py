"""The OV-COCO split: 48 base and 17 novel of COCO's 80 classes.

Bansal et al., "Zero-Shot Object Detection", ECCV 2018, section 5.1 (the split), Zareian et al., "Open-Vocabulary Object
Detection Using Captions", CVPR 2021, section 4.1 (the open-vocabulary protocol): boxes of base classes are seen in
training, boxes of novel classes are not; the remaining 15 classes are left out of training and evaluation alike.
"""

#: The 80 COCO classes in the order of their category ids.
COCO_NAMES: tuple[str, ...] = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow',
    'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee',
    'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard',
    'tennis racket', 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple',
    'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch',
    'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear',
    'hair drier', 'toothbrush',
)  # fmt: skip

#: The 48 base classes, in the order of their category ids.
OV_COCO_BASE: tuple[str, ...] = (
    'person', 'bicycle', 'car', 'motorcycle', 'train', 'truck', 'boat', 'bench', 'bird', 'horse', 'sheep', 'bear',
    'zebra', 'giraffe', 'backpack', 'handbag', 'suitcase', 'frisbee', 'skis', 'kite', 'surfboard', 'bottle', 'fork',
    'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'pizza', 'donut', 'chair', 'bed',
    'toilet', 'tv', 'laptop', 'mouse', 'remote', 'microwave', 'oven', 'toaster', 'refrigerator', 'book', 'clock',
    'vase', 'toothbrush',
)  # fmt: skip

#: The 17 novel classes, in the order of their category ids.
OV_COCO_NOVEL: tuple[str, ...] = (
    'airplane', 'bus', 'cat', 'dog', 'cow', 'elephant', 'umbrella', 'tie', 'snowboard', 'skateboard', 'cup', 'knife',
    'cake', 'couch', 'keyboard', 'sink', 'scissors',
)  # fmt: skip

#: All 65 classes of OV-COCO, in the order of their category ids.
OV_COCO_NAMES: tuple[str, ...] = tuple(name for name in COCO_NAMES if name in OV_COCO_BASE or name in OV_COCO_NOVEL)
