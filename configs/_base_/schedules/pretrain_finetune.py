# Fine-tuning on some thousand images of one's own: 2000 steps of 128 images are 25 passes over 10,000. AdamW as in
# stage 2 of FG-CLIP, gradients clipped at 1 (the default of the trainer that the official code uses). The learning rate
# is set by what learns, in the leaf. Lengths and learning rates are our choice, not published: let the held-out set
# judge.
max_iters = 2000
optim_wrapper = dict(
    type='fgdet.Bfloat16OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-6, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.001),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, T_max=max_iters - 100),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=200)
