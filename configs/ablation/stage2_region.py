# Ablation, stage 2 with the region loss; the weight is the paper's.
_base_ = 'stage2_global.py'
model = dict(region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1))
