# OV-LVIS: the optimiser of OV-COCO for 48 epochs at a batch of 64, a "4x" schedule (F-ViT's public config is named
# ..._bs64_4x_ovlvis). Warm-up and cosine are ours.
_base_ = './ov_coco.py'
max_epochs = 48
train_cfg = dict(max_epochs=max_epochs, val_interval=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
