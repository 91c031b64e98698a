# F-ViT on OV-COCO with FG-CLIP ViT-L/14 at 640 pixels, padded to 644 (46 patches), 16 GPUs with 4 images each. The
# schedule is that of ViT-B/16; 896 pixels (64 patches) are a next size up.
_base_ = ['./fvit_vit_b16_640.py', '../_base_/models/sizes_vit_l14.py']
checkpoint = 'qihoo360/fg-clip-large'
sizes = _base_.sizes
model = dict(
    sizes,
    backbone=dict(sizes.backbone, checkpoint=checkpoint),
    class_embeddings=dict(sizes.class_embeddings, checkpoint=checkpoint),
)
train_dataloader = dict(batch_size=4)
