# The same with a moving average of the weights, which validation and the checkpoint use. Any other config has it by
# `--cfg-options default_hooks.ema.type=EMAHook` and the arguments below.
_base_ = './fvit_vit_b16_640.py'
default_hooks = dict(
    # RTMDet's settings (arXiv 2212.07784, in mmdet's configs). The buffers must follow: some change their size.
    ema=dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49)
)
