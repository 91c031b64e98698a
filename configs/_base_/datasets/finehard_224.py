# FineHARD-style records at 224 px; set data_root or override records and image_root.
data_root = 'data/finehard/'
pipeline = [
    dict(type='fgdet.LoadRegionTextImage'),
    dict(type='fgdet.ResizeRegionTextImage', size_hw=(224, 224)),
    dict(type='fgdet.TokenizeRegionText', max_regions=4),
    dict(type='fgdet.PackRegionTextInputs'),
]
train_dataloader = dict(
    batch_size=512,  # per GPU; 8 GPUs make the official 4096 (FG-CLIP, scripts/train.sh)
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='fgdet.collate_region_text'),
    sampler=dict(type='fgdet.EpochIndexSampler', shuffle=True),
    dataset=dict(
        type='fgdet.RegionTextDataset',
        records=data_root + 'jsons',
        image_root=data_root + 'images',
        pipeline=pipeline,
    ),
)
