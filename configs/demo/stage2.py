# Demo, stage 2: global, region and hard-negative losses, from the weights of stage 1.
_base_ = '../pretrain/tiny_stage2.py'
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
