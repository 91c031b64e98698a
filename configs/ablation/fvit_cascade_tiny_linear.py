# The tiny Cascade R-CNN with a plain linear classifier in each stage: what the text classifier is compared with.
_base_ = '../ov_coco/fvit_cascade_tiny.py'
linear = dict(type='fgdet.LinearClassifier', num_classes=len(_base_.vocabulary['names']))
model = dict(roi_head=dict(bbox_head=[dict(each, classifier=linear) for each in _base_.model.roi_head.bbox_head]))
