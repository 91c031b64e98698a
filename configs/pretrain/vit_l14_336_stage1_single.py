# FG-CLIP stage 1, ViT-L/14 at 336 px, on one GPU: a pass over 12 million images (FineHARD's captions) instead of 1.6
# billion. A step sees 384 images instead of 8 x 384. Accumulating gradients would not help: each image is told apart
# from those of its own forward pass only, so eight passes of 384 are not a contrastive batch of 3072. Of a batch 8
# times smaller Adam's learning rate is sqrt(8) times smaller (arXiv 2205.10287): 1e-4 / 2.83 = 3.5e-5.
_base_ = 'vit_l14_336_stage1.py'
max_iters = 31_250  # 12e6 / 384
optim_wrapper = dict(optimizer=dict(lr=3.5e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=1600),  # the images of 200 steps on 8 GPUs
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1600, end=max_iters, T_max=max_iters - 1600),
]
train_cfg = dict(max_iters=max_iters)
