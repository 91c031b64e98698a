# Ablation where near misses are rare, a control: the region loss has the weight of both losses on regions together.
_base_ = 'sparse_region.py'
model = dict(region_loss=dict(loss_weight=2.0))
