# An open-vocabulary DINO on OV-COCO with FG-CLIP ViT-B/16 at 640 pixels, 8 GPUs with 2 images each.
_base_ = [
    '../_base_/detection_runtime.py',
    '../_base_/models/ov_dino.py',
    '../_base_/datasets/ov_coco.py',
]
checkpoint = 'qihoo360/fg-clip-base'
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)
train_dataloader = dict(batch_size=2)

# DINO's 12 epochs at a batch of 16 (arXiv 2203.03605, section 4.1 and appendix D; mmdet's
# configs/dino/dino-4scale_r50_8xb2-12e_coco.py): AdamW with 1e-4, a tenth of it from epoch 11 on. The tower is frozen.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[11], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
