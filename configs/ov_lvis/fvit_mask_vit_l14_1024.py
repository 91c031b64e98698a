# F-ViT with masks on OV-LVIS with FG-CLIP ViT-L/14 at 1024 pixels, padded to 1036 (74 patches), 32 GPUs with 2 images
# each.
_base_ = ['./fvit_mask_vit_b16_1024.py', '../_base_/models/sizes_vit_l14.py']
checkpoint = 'qihoo360/fg-clip-large'
sizes = _base_.sizes
model = dict(
    sizes,
    backbone=dict(sizes.backbone, checkpoint=checkpoint),
    class_embeddings=dict(sizes.class_embeddings, checkpoint=checkpoint),
    roi_head=dict(sizes.roi_head, mask_roi_extractor=dict(featmap_strides=_base_.strides)),
)
train_dataloader = dict(batch_size=2)
