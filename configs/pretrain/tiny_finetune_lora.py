# Fine-tuning of a tiny FG-CLIP through low-rank adapters on generated scenes, for a CPU, from a run of tiny_stage2.py:
# --cfg-options model.clip.checkpoint=work_dirs/tiny_stage2/iter_600.pth
_base_ = 'tiny_stage2_held_out.py'
model = dict(
    lora=dict(rank=4, alpha=8, towers=('visual', 'text'), targets=('attention.qkv', 'attention.out', 'mlp.fc1'))
)
max_iters = 100
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.0),
    paramwise_cfg=dict(norm_decay_mult=0.0),  # leaves what is frozen out of the optimiser
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=10),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=max_iters, T_max=max_iters - 10, eta_min_ratio=0.01),
]
train_cfg = dict(max_iters=max_iters, val_interval=50)
