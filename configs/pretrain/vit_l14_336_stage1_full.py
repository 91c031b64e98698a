# FG-CLIP stage 1, ViT-L/14 at 336 px, the last part at full length, from the weights of vit_l14_336_stage1_short.py:
# --cfg-options model.clip.checkpoint=work_dirs/vit_l14_336_stage1_short/iter_491352.pth
_base_ = 'vit_l14_336_stage1.py'
max_iters = 29_481  # of 520,833 steps, 0.36 / 6.36
optim_wrapper = dict(optimizer=dict(lr=1e-5))  # a tenth: the weights are near their end (our choice)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200),
]
train_cfg = dict(max_iters=max_iters)
