# A small one-stage detector for the generated scenes: minutes on a CPU.
_base_ = [
    '../_base_/schedules/detection_tiny.py',
    '../_base_/models/ov_atss_tiny.py',
    '../_base_/datasets/ov_coco_shapes.py',
]
checkpoint = None  # a tower of configs/_base_/models/fg_clip_tiny.py; None leaves it random
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)
