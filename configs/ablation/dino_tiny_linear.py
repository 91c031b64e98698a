# The tiny DINO with plain linear classifiers: what the text classifier is compared with.
_base_ = '../ov_coco/dino_tiny.py'
linear = dict(
    _delete_=True,
    type='fgdet.LinearClassifier',
    num_classes=len(_base_.vocabulary['names']),
    background=False,
    bias=-4.595,
)
model = dict(bbox_head=dict(classifier=linear))
