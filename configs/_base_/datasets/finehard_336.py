# FineHARD-style records at 336 px.
_base_ = 'finehard_224.py'
pipeline = _base_.pipeline
pipeline[1].update(size_hw=(336, 336))
train_dataloader = dict(dataset=dict(pipeline=pipeline))
