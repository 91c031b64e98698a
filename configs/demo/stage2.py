# Demo, stage 2: all losses, from the weights of its first part.
_base_ = 'stage2_region.py'
model = dict(hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=1.0))
