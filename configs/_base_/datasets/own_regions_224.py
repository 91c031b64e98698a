# Records of one's own at 224 px, some of them held out; `fgdet data from-coco` makes them from boxes with class names.
own_root = 'data/own/'
_load = [
    dict(type='fgdet.LoadRegionTextImage'),
    dict(type='fgdet.ResizeRegionTextImage', size_hw=(224, 224)),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='fgdet.EpochIndexSampler', shuffle=True),
    dataset=dict(
        type='fgdet.RegionTextDataset',
        records=own_root + 'records_train.jsonl',
        image_root=own_root + 'images',
        pipeline=[
            *_load,
            dict(type='fgdet.FlipRegionTextImage', prob=0.5),
            dict(type='fgdet.TokenizeRegionText', max_regions=16),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='fgdet.RegionTextDataset',
        records=own_root + 'records_held_out.jsonl',
        image_root=own_root + 'images',
        pipeline=[
            *_load,
            dict(type='fgdet.TokenizeRegionText', max_regions=64, long_share=0),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='fgdet.RegionTextMetric')
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
