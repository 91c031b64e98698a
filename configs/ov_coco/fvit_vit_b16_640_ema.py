# The same with a moving average of the weights, which validation and checkpoints use, at RTMDet's momentum (in mmdet's
# configs). Any detector's config has it by `--cfg-options default_hooks.ema.type=fgdet.DetectorEMAHook`.
_base_ = './fvit_vit_b16_640.py'
default_hooks = dict(ema=dict(type='fgdet.DetectorEMAHook', momentum=0.0002))
