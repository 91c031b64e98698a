# Generated scenes as `write_coco` of fgdet.datasets.shapes_world writes them: 108 base and 36 novel compositions of
# colour, pattern and shape. `data_root` holds train/, val/ and annotations/{train,val}.json.
_base_ = './ov_coco.py'
colours = ['red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'pink']
patterns = ['solid', 'striped', 'dotted']
shapes = ['circle', 'square', 'triangle', 'star', 'ring', 'cross']
names = [f'{colour} {pattern} {shape}' for colour in colours for pattern in patterns for shape in shapes]
# The world's own split: novel where the three indices sum to 3 modulo 4.
base = [
    f'{colours[c]} {patterns[p]} {shapes[s]}'
    for c in range(8)
    for p in range(3)
    for s in range(6)
    if (c + p + s) % 4 != 3
]
vocabulary = dict(
    names=names,
    base=base,
    novel=[name for name in names if name not in base],
    templates=['a photo of a {}.'],  # drawings need no ensemble, and a CPU is spared 79 more prompts a name
)
data_root = 'data/shapes/'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(
        vocabulary=vocabulary,
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        expected_counts=None,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        vocabulary=vocabulary,
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        expected_counts=None,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + 'annotations/val.json',
    base=vocabulary['base'],
    novel=vocabulary['novel'],
    annotated_images_only=False,
)
test_evaluator = val_evaluator
