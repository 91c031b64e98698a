# Generated scenes: each is rendered when it is asked for, and none comes twice.
train_dataloader = dict(
    batch_size=48,
    num_workers=0,
    sampler=dict(type='fgdet.EpochIndexSampler', shuffle=False),
    dataset=dict(
        type='fgdet.ShapesWorldDataset',
        num_scenes=1_000_000,
        pipeline=[
            dict(type='fgdet.TokenizeRegionText', max_regions=8),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
