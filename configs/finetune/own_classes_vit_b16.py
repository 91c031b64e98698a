# A trained detector on your own classes, without losing the others: the towers stay frozen, the heads, which hold no
# class, learn slowly and shortly, and every validation tells what became of the open vocabulary. Say what you have: a
# detector with `--cfg-options load_from=CHECKPOINT`, such as fvit_vit_b16_640's, and your names and files below.
_base_ = '../ov_coco/fvit_vit_b16_640.py'
load_from = 'work_dirs/fvit_vit_b16_640/epoch_3.pth'

base = ['red mug', 'striped cat']  # yours, with boxes
novel = ['blue mug']  # yours, with boxes in the validation file alone; may be []
vocabulary = dict(_delete_=True, names=base + novel, base=base, novel=novel)
data_root = 'data/own/'
own = dict(vocabulary=vocabulary, data_root=data_root, expected_counts=None)
model = dict(vocabulary=vocabulary)
train_dataloader = dict(
    dataset=dict(own, ann_file='annotations/train.json', data_prefix=dict(img='train/'), filter_cfg=dict(min_size=0))
)
# What is to stay: COCO's validation images with all their 80 names. `indices` takes the first so many, for time's sake.
zero_shot = dict(
    dataloader=dict(
        _base_.val_dataloader,
        dataset=dict(_base_.val_dataloader.dataset, vocabulary='coco', expected_counts=None, indices=1000),
    ),
    evaluator=dict(type='fgdet.CocoFormMetric', ann_file=_base_.val_evaluator.ann_file),
    score='coco_form/AP50',
)
val_dataloader = dict(dataset=dict(own, ann_file='annotations/val.json', data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json', base=base, novel=novel, annotated_images_only=False)
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, dict(type='fgdet.OpenVocabularyReportHook', zero_shot=zero_shot)]

# A tenth of the learning rate of the first training, 1000 iterations at a batch of 16: starting points of ours.
max_iters = 1000
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-7),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=16)
