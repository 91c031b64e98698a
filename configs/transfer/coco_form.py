# A trained detector on any data of COCO's form, by a swap of the vocabulary: the names are the annotation file's. Boxes
# are scored as COCO does, all classes alike. For another data set:
#   fgdet test configs/transfer/coco_form.py CHECKPOINT --cfg-options test_dataloader.dataset.data_root=DIR/ \
#       test_dataloader.dataset.ann_file=FILE test_dataloader.dataset.data_prefix.img=IMAGES/ \
#       test_evaluator.ann_file=DIR/FILE
# The model is ViT-B/16's of OV-COCO; a config of your own with another `_base_` takes another one.
_base_ = '../ov_coco/fvit_vit_b16_640.py'
data_root = 'data/coco/'
ann_file = 'annotations/instances_val2017.json'
val_dataloader = dict(
    dataset=dict(
        vocabulary='annotations',
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(img='val2017/'),
        expected_counts=None,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='fgdet.CocoFormMetric', ann_file=data_root + ann_file)
test_evaluator = val_evaluator
