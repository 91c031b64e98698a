# Transfer to Objects365 v1's validation images (365 classes), the data set of F-VLM's and ViLD's transfer tables.
_base_ = './coco_form.py'
data_root = 'data/objects365/'
ann_file = 'annotations/objects365_val.json'
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file=ann_file, data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator
