# The tiny Faster R-CNN with a plain linear classifier: what the text classifier is compared with.
_base_ = '../ov_coco/fvit_tiny.py'
linear = dict(_delete_=True, type='fgdet.LinearClassifier', num_classes=len(_base_.vocabulary['names']))
model = dict(roi_head=dict(bbox_head=dict(classifier=linear)))
