# The optimiser of FG-CLIP's stage 2: AdamW, betas 0.9 and 0.999, no decay on biases and layer norms, learning rate
# 1e-6 after 200 steps of warm-up, cosine to zero, no gradient clipping under DeepSpeed (FG-CLIP, scripts/train.sh).
#
# What makes a run faster or smaller, in any combination, each on the command line:
#   --amp                                                        bfloat16 (float16 where a GPU has no bfloat16)
#   --cfg-options compile=True                                   torch.compile of the blocks; compile.mode=...
#   --cfg-options optim_wrapper.optimizer.fused=True             one kernel for a step of AdamW
#   --cfg-options optim_wrapper.accumulative_counts=8            a step every 8 batches
#   --cfg-options model.clip.vision.gradient_checkpointing=True  activations computed twice instead of kept; also
#                 model.clip.text.gradient_checkpointing=True    (False where the model's config has them on)
max_iters = 2930  # one pass over 12 million images (arXiv 2505.05071, section 4.1), 8 x 512 a step: 12e6 / 4096
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-6, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.001),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
