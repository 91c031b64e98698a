# Ablation, a control: no hard negatives, and the region loss has the weight of both losses on regions together.
_base_ = 'stage2_region.py'
model = dict(region_loss=dict(loss_weight=0.6))
