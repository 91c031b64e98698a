# Held-out records at 224 px, to score a run on: retrieval, region and hard-negative scores. Any of them can choose the
# checkpoint that is kept: default_hooks.checkpoint.save_best='region/top1', rule='greater'.
held_out_root = 'data/own/'
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='fgdet.collate_region_text'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='fgdet.RegionTextDataset',
        records=held_out_root + 'records_held_out.jsonl',
        image_root=held_out_root + 'images',
        pipeline=[
            dict(type='fgdet.LoadRegionTextImage'),
            dict(type='fgdet.ResizeRegionTextImage', size_hw=(224, 224)),
            dict(type='fgdet.TokenizeRegionText', max_regions=64, long_share=0),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='fgdet.RegionTextMetric')
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
