# Demo, stage 1: the global loss on long and short captions of generated scenes.
_base_ = '../pretrain/tiny_stage1.py'
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
