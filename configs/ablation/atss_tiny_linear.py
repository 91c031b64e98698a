# The tiny one-stage detector with a plain linear classifier: what the text classifier is compared with.
_base_ = '../ov_coco/atss_tiny.py'
num_classes = len(_base_.vocabulary['names'])
linear = dict(_delete_=True, type='fgdet.LinearClassifier', num_classes=num_classes, background=False, bias=-4.6)
model = dict(bbox_head=dict(classifier=linear))
