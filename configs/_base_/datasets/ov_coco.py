# OV-COCO from COCO's own annotation files: 48 base classes have boxes in training, 17 novel ones do not (Bansal et al.,
# ECCV 2018, section 5.1; Zareian et al., CVPR 2021, section 4.1). The order of the 65 is that of COCO's category ids.
names = [
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'bench', 'bird', 'cat',
    'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag',
    'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'kite', 'skateboard', 'surfboard', 'bottle', 'cup', 'fork',
    'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'pizza', 'donut',
    'cake', 'chair', 'couch', 'bed', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'microwave', 'oven',
    'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors', 'toothbrush',
]  # fmt: skip
novel = [
    'airplane', 'bus', 'cat', 'dog', 'cow', 'elephant', 'umbrella', 'tie', 'snowboard', 'skateboard', 'cup',
    'knife', 'cake', 'couch', 'keyboard', 'sink', 'scissors',
]  # fmt: skip
vocabulary = dict(names=names, base=[name for name in names if name not in novel], novel=novel)
data_root = 'data/coco/'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(640, 640), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(640, 640), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='fgdet.OVCocoDataset',
        split='base',
        vocabulary=vocabulary,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        expected_counts='ov_coco_train',  # None for annotations of your own
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,  # an image's padding, and so its features, must not depend on its neighbours
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='fgdet.OVCocoDataset',
        split='all',
        vocabulary=vocabulary,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        expected_counts='ov_coco_val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='fgdet.OVCocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    base=vocabulary['base'],
    novel=vocabulary['novel'],
    annotated_images_only=True,  # the protocol's 4,836 of COCO's 5,000 images
)
test_evaluator = val_evaluator
custom_hooks = [dict(type='fgdet.DatasetVocabularyHook')]
