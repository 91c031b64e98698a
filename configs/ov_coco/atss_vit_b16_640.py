# The one-stage detector on OV-COCO with FG-CLIP ViT-B/16 at 640 pixels, 8 GPUs with 8 images each.
_base_ = [
    '../_base_/schedules/ov_coco.py',  # not tuned for one stage
    '../_base_/models/ov_atss.py',
    '../_base_/datasets/ov_coco.py',
]
checkpoint = 'qihoo360/fg-clip-base'
model = dict(
    backbone=dict(checkpoint=checkpoint),
    class_embeddings=dict(checkpoint=checkpoint),
    vocabulary=_base_.vocabulary,
)
