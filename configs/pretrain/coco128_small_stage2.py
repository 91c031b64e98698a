# Stage 2 of a small FG-CLIP on a few COCO photographs with texts made from their boxes, for a CPU: a check of the whole
# path on real images. Make the records first:
#   fgdet data from-coco data/coco128/annotations/instances_train2017.json --out data/coco128/records_train.json
_base_ = [
    '../_base_/models/fg_clip_small.py',
    '../_base_/datasets/finehard_224.py',
    '../_base_/schedules/pretrain_tiny.py',
    '../_base_/pretrain_runtime.py',
]
max_iters = 200
model = dict(
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1),
    hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        records='data/coco128/records_train.json',
        image_root='data/coco128/train2017',
        pipeline=[
            dict(type='fgdet.LoadRegionTextImage'),
            dict(type='fgdet.ResizeRegionTextImage', size_hw=(224, 224)),
            dict(type='fgdet.FlipRegionTextImage', prob=0.5),
            dict(type='fgdet.TokenizeRegionText', max_regions=8),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=max_iters, T_max=max_iters - 40, eta_min_ratio=0.01),
]
train_cfg = dict(max_iters=max_iters)
