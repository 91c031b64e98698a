# OV-COCO: three epochs at a batch of 64 (F-ViT on OV-COCO, CLIPSelf, arXiv 2310.01403, appendix; its public config is
# named ..._bs64_3e_ovcoco): 107,761 images with base boxes (Zareian et al., CVPR 2021, section 4.1) / 64 = 1684
# iterations an epoch, 5052 in all. Warm-up and cosine are ours.
_base_ = '../detection_runtime.py'
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
