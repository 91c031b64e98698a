# Demo, the detector: a small F-ViT on the frozen tower, trained on the base compositions.
_base_ = '../ov_coco/fvit_tiny.py'
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
