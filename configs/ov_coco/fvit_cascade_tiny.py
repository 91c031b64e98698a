# A small F-ViT with three stages for the generated scenes: minutes on a CPU.
_base_ = [
    '../_base_/schedules/detection_tiny.py',
    '../_base_/models/fvit_cascade_tiny.py',
    '../_base_/datasets/ov_coco_shapes.py',
]
checkpoint = None  # a tower of configs/_base_/models/fg_clip_tiny.py; None leaves it random
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)

train_cfg = dict(max_iters=300, val_interval=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=300, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=300))
