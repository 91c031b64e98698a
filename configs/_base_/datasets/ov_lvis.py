# OV-LVIS from LVIS v1's own annotation files: the 866 common and frequent classes have boxes and masks in training, the
# 337 rare ones do not (Gu et al., ICLR 2022, section 4.1). `data_root` holds annotations/lvis_v1_{train,val}.json and
# COCO's images as train2017/ and val2017/, where links will do.
vocabulary = 'lvis_v1'
data_root = 'data/lvis_v1/'

# Large-scale jittering: 0.1 to 2 times 1024 pixels, then a crop (Ghiasi et al., "Simple Copy-Paste", CVPR 2021).
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    dict(type='RandomResize', scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute_range',
        crop_size=(1024, 1024),
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    # Repeat-factor sampling at t = 0.001, in images of base boxes (Gupta et al., CVPR 2019).
    dataset=dict(
        type='ClassBalancedDataset',
        oversample_thr=1e-3,
        dataset=dict(
            type='fgdet.OVLvisDataset',
            split='base',
            vocabulary=vocabulary,
            data_root=data_root,
            ann_file='annotations/lvis_v1_train.json',
            data_prefix=dict(img=''),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            expected_counts='lvis_v1_train',  # None for annotations of your own
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,  # an image's padding, and so its features, must not depend on its neighbours
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='fgdet.OVLvisDataset',
        split='all',
        vocabulary=vocabulary,
        data_root=data_root,
        ann_file='annotations/lvis_v1_val.json',
        data_prefix=dict(img=''),
        test_mode=True,
        expected_counts='lvis_v1_val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='fgdet.OVLvisMetric', ann_file=data_root + 'annotations/lvis_v1_val.json', iou_types=['bbox', 'segm']
)
test_evaluator = val_evaluator
custom_hooks = [dict(type='fgdet.DatasetVocabularyHook')]
