# A small open-vocabulary DINO for the generated scenes: minutes on a CPU.
_base_ = [
    '../_base_/detection_runtime.py',
    '../_base_/models/ov_dino_tiny.py',
    '../_base_/datasets/ov_coco_shapes.py',
]
checkpoint = None  # a tower of configs/_base_/models/fg_clip_tiny.py; None leaves it random
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=500, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500), logger=dict(interval=20))
log_processor = dict(by_epoch=False)
