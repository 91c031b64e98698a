# FG-CLIP stage 1, ViT-B/16 at 224 px, short tokens first: small images and texts cut short for most of the images, then
# full length with vit_b16_224_stage1_full.py, as CLIPA trains (arXiv 2305.07017; its README: 6 epochs short, 0.36
# full). The same model throughout: its positions are interpolated to the smaller grid, and texts use the first of
# theirs.
#   image: 112 px is 50 tokens instead of 197, 8.6 GFLOP instead of 34.9
#   texts: 32 + 64 tokens instead of at most 77 + 248, 7.4 GFLOP instead of at most 26.2
# (forward; 2 x 12 D^2 a token and block, and 4 T^2 D for attention). At full texts a short image costs 3.8 times less
# and the whole stage 3.3 times less: 1 / (0.943 / 3.8 + 0.057). That it learns as well is CLIPA's finding, not tried by
# us.
_base_ = 'vit_b16_224_stage1.py'
max_iters = 491_352  # of 520,833 steps, 6 / 6.36
pipeline = [
    dict(type='fgdet.LoadRegionTextImage'),
    dict(type='fgdet.ResizeRegionTextImage', size_hw=(112, 112)),
    dict(type='fgdet.TokenizeRegionText', context_length=32, long_context_length=64, max_regions=0),
    dict(type='fgdet.PackRegionTextInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200),
]
train_cfg = dict(max_iters=max_iters)
