# Demo, stage 2, first part: the global and the region loss, from the weights of stage 1.
_base_ = '../pretrain/tiny_stage1.py'
# The paper's weights (1 and 0.1) are for a tower that CLIP has trained; this one has seen nothing but stage 1, whose
# loss is small by now, so regions lead.
model = dict(
    global_loss=dict(loss_weight=0.2),
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=1.0),
)
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
