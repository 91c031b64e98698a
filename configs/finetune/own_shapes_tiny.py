# Fine-tuning on generated scenes: half of the compositions that the detector of fvit_tiny.py never saw boxes of are now
# one's own classes, the other half stays novel, and the zero-shot score is that of all others. Minutes on a CPU.
# `data_root` holds scenes of all compositions, which are written by
#   from fgdet.datasets.shapes_world import ShapesWorld, write_coco
#   write_coco(ShapesWorld(), range(400), 'data/own_shapes/train', 'data/own_shapes/annotations/train.json')
#   write_coco(ShapesWorld(), range(400, 500), 'data/own_shapes/val', 'data/own_shapes/annotations/val.json')
_base_ = '../ov_coco/fvit_tiny.py'
load_from = 'work_dirs/fvit_tiny/iter_400.pth'

base, novel = _base_.vocabulary.novel[::2], _base_.vocabulary.novel[1::2]
words = dict(names=base + novel, base=base, novel=novel, templates=_base_.vocabulary.templates)
vocabulary = dict(words, _delete_=True)
data_root = 'data/own_shapes/'
model = dict(vocabulary=vocabulary)
zero_shot = dict(
    dataloader=dict(
        _base_.val_dataloader,
        dataset=dict(
            _base_.val_dataloader.dataset,
            data_root=data_root,
            vocabulary=dict(names=_base_.vocabulary.base, templates=_base_.vocabulary.templates),
        ),
    ),
    evaluator=dict(type='fgdet.CocoFormMetric', ann_file=data_root + 'annotations/val.json'),
    score='coco_form/AP50',
)
train_dataloader = dict(dataset=dict(vocabulary=vocabulary, data_root=data_root))
val_dataloader = dict(dataset=dict(vocabulary=vocabulary, data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json', base=base, novel=novel)
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, dict(type='fgdet.OpenVocabularyReportHook', zero_shot=zero_shot)]

max_iters = 100
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=3e-4))  # a tenth of the first training's
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=max_iters, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
