# Ablation, a control where regions lead: no hard negatives, and the region loss has the weight of both losses together.
_base_ = 'lead_region.py'
model = dict(region_loss=dict(loss_weight=2.0))
