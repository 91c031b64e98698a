# A small F-ViT on a few COCO photographs, for a CPU: a check of the whole path on real images, not a recipe.
_base_ = [
    '../_base_/detection_runtime.py',
    '../_base_/models/fvit_small.py',
    '../_base_/datasets/ov_coco.py',
]
data_root = 'data/coco128/'
checkpoint = None  # what configs/pretrain/coco128_small_stage2.py trained; None leaves the tower random
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)
resize = dict(type='Resize', scale=(320, 320), keep_ratio=True)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_root=data_root,
        expected_counts=None,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            resize,
            dict(type='PackDetInputs'),
        ],
    ),
)
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
test_pipeline = [dict(type='LoadImageFromFile'), resize, dict(type='PackDetInputs', meta_keys=meta_keys)]
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, expected_counts=None, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

# 2,700 steps (a cosine of 1,500 and one of 1,200) gave base AP50 0.67 on its own 128 photographs and next
# to nothing on others.
max_iters = 3000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500), logger=dict(interval=20))
log_processor = dict(by_epoch=False)
