# The optimiser of FG-CLIP's stage 1 (arXiv 2505.05071, section 4.1): AdamW, learning rate 1e-4, 384 images a device,
# one pass over 1.6 billion images. Not checked against the paper's own text: weight decay 0.05, beta2 0.98 (FG-CLIP 2
# has it too) and 200 steps of warm-up. Not published: the number of devices, and a script; cosine is stage 2's. With
# another number of devices than 8 the learning rate goes with the square root of the batch (arXiv 2205.10287).
max_iters = 520_833  # 1.6e9 / (8 x 384)
optim_wrapper = dict(
    type='fgdet.Bfloat16OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
