# Ablation where near misses are rare: with hard negatives.
_base_ = 'sparse_region.py'
model = dict(hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=1.0))
