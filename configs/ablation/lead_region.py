# Ablation, stage 2 where regions lead: the weights of the demo, for a tower that has seen nothing but stage 1.
_base_ = 'stage2_region.py'
model = dict(global_loss=dict(loss_weight=0.2), region_loss=dict(loss_weight=1.0))
