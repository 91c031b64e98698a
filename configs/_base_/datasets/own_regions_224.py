# Records of one's own at 224 px, some of them held out; `fgdet data from-coco` makes them from boxes with class names.
_base_ = 'held_out_224.py'
own_root = 'data/own/'
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='fgdet.collate_region_text'),
    sampler=dict(type='fgdet.EpochIndexSampler', shuffle=True),
    dataset=dict(
        type='fgdet.RegionTextDataset',
        records=own_root + 'records_train.jsonl',
        image_root=own_root + 'images',
        pipeline=[
            dict(type='fgdet.LoadRegionTextImage'),
            dict(type='fgdet.ResizeRegionTextImage', size_hw=(224, 224)),
            dict(type='fgdet.FlipRegionTextImage', prob=0.5),
            dict(type='fgdet.TokenizeRegionText', max_regions=16),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
