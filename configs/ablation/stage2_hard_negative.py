# Ablation, stage 2 with all three losses; the weights are the paper's.
_base_ = 'stage2_region.py'
model = dict(hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5))
