# Transfer to Pascal VOC 2007's test images, from an annotation file of COCO's form. Its names must be those of the
# file; what VOC writes as one word gets its common spelling as a synonym.
_base_ = './coco_form.py'
names = [
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
    'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
]  # fmt: skip
synonyms = dict(diningtable=['dining table'], pottedplant=['potted plant'], tvmonitor=['tv monitor', 'television'])
data_root = 'data/voc/'
ann_file = 'annotations/voc2007_test.json'
val_dataloader = dict(
    dataset=dict(
        vocabulary=dict(_delete_=True, names=names, synonyms=synonyms),
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(img='VOC2007/JPEGImages/'),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator
