# A small F-ViT with masks for the generated scenes: minutes on a CPU.
_base_ = [
    '../_base_/schedules/detection_tiny.py',
    '../_base_/models/fvit_mask_tiny.py',
    '../_base_/datasets/ov_coco_shapes.py',
]
checkpoint = None  # a tower of configs/_base_/models/fg_clip_tiny.py; None leaves it random
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(iou_type=['bbox', 'segm'])
test_evaluator = val_evaluator
