# Stage 2 of a tiny FG-CLIP on generated scenes, for a CPU: global, region and hard-negative losses.
_base_ = 'tiny_stage1.py'
model = dict(
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1),
    hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
)
