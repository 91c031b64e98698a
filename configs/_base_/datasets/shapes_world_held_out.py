# Generated scenes that training never comes to, to score a run on: 300 of them.
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='fgdet.ShapesWorldDataset',
        num_scenes=300,
        start=10_000_000,
        pipeline=[
            dict(type='fgdet.TokenizeRegionText', max_regions=8, long_share=0),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='fgdet.RegionTextMetric')
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
