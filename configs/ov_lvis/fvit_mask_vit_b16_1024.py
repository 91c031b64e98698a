# F-ViT with masks on OV-LVIS with FG-CLIP ViT-B/16 at 1024 pixels, 8 GPUs with 8 images each.
_base_ = [
    '../_base_/schedules/ov_lvis.py',
    '../_base_/models/fvit_mask_lvis.py',
    '../_base_/datasets/ov_lvis.py',
]
checkpoint = 'qihoo360/fg-clip-base'
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)
