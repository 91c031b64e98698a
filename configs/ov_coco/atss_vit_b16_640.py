# The one-stage detector on OV-COCO with FG-CLIP ViT-B/16 at 640 pixels, 8 GPUs with 8 images each.
_base_ = [
    '../_base_/detection_runtime.py',
    '../_base_/models/ov_atss.py',
    '../_base_/datasets/ov_coco.py',
]
checkpoint = 'qihoo360/fg-clip-base'
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)

# The schedule of fvit_vit_b16_640.py, three epochs at a batch of 64; not tuned for one stage.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=3, eta_min=1e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
