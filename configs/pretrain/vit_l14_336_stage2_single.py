# FG-CLIP stage 2, ViT-L/14 at 336 px, on FineHARD, one GPU: a step of 256 images instead of 4096.
# Accumulating gradients would not help: an image, or a region, is told apart from those of its own forward pass only.
# Of a batch 16 times smaller Adam's learning rate is sqrt(16) times smaller (arXiv 2205.10287):
# 1e-6 / 4 = 2.5e-7.
# The memory that this takes was not measured; for half the batch, twice the steps and 1 / 1.41 of the learning rate.
_base_ = 'vit_l14_336_stage2.py'
max_iters = 46_875  # one pass over 12 million images: 12e6 / 256
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=2.5e-7))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=3200),  # the images of 200 steps on 8 GPUs
    dict(type='CosineAnnealingLR', by_epoch=False, begin=3200, end=max_iters, T_max=max_iters - 3200),
]
train_cfg = dict(max_iters=max_iters)
