# Fine-tuning of FG-CLIP ViT-B/16 at 224 px on regions of one's own: the text tower learns, the image tower stays as it
# is, so that dense features and detectors built on them stay valid. Records: see _base_/datasets/own_regions_224.py.
_base_ = [
    '../_base_/models/fg_clip_vit_b16.py',
    '../_base_/datasets/own_regions_224.py',
    '../_base_/schedules/pretrain_finetune.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(
    clip=dict(checkpoint='qihoo360/fg-clip-base'),
    # Weights 0.1 and 0.5 balance 512 images a GPU in the paper; here regions lead, as they are what is learned.
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=1.0),
    hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
    frozen=('visual',),
)
optim_wrapper = dict(optimizer=dict(lr=5e-6))  # 5 times stage 2's: the steps are fewer (our choice)
default_hooks = dict(checkpoint=dict(interval=200, save_best='region/top1', rule='greater'))
