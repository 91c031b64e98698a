# FG-CLIP stage 2, ViT-B/16 at 224 px, on FineHARD, one GPU: a step of 512 images instead of 4096.
# Accumulating gradients would not help: an image, or a region, is told apart from those of its own forward pass only.
# Of a batch 8 times smaller Adam's learning rate is sqrt(8) times smaller (arXiv 2205.10287):
# 1e-6 / 2.83 = 3.5e-7.
# The memory that this takes was not measured; for half the batch, twice the steps and 1 / 1.41 of the learning rate.
_base_ = 'vit_b16_224_stage2.py'
max_iters = 23_438  # one pass over 12 million images: 12e6 / 512
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=3.5e-7))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=1600),  # the images of 200 steps on 8 GPUs
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1600, end=max_iters, T_max=max_iters - 1600),
]
train_cfg = dict(max_iters=max_iters)
