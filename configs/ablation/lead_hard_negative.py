# Ablation, stage 2 where regions lead, with hard negatives; the weights of the demo.
_base_ = 'lead_region.py'
model = dict(hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=1.0))
