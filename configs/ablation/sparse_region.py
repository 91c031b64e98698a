# Ablation where near misses are rare: the region loss. Regions lead, as in the demo: with the paper's weight of 0.1 so
# few of them would need a much longer run.
_base_ = 'sparse_stage1.py'
model = dict(
    global_loss=dict(loss_weight=0.2),
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=1.0),
)
