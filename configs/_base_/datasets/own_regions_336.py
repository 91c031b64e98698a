# Records of one's own at 336 px.
_base_ = 'own_regions_224.py'
train_pipeline = _base_.train_dataloader.dataset.pipeline
val_pipeline = _base_.val_dataloader.dataset.pipeline
train_pipeline[1].update(size_hw=(336, 336))
val_pipeline[1].update(size_hw=(336, 336))
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=val_pipeline))
