# FG-CLIP stage 2, ViT-L/14 at 336 px, on FineHARD, 8 GPUs: global, region and hard-negative losses. The published
# script is for ViT-B/16; the paper gives both models one recipe, of 512 images a GPU (arXiv 2505.05071, section 4.1).
# Start from stage 1 or from a hub id: --cfg-options model.clip.checkpoint=qihoo360/fg-clip-large
_base_ = [
    '../_base_/models/fg_clip_vit_l14.py',
    '../_base_/datasets/finehard_336.py',
    '../_base_/schedules/pretrain_adamw.py',
    '../_base_/pretrain_runtime.py',
]
optim_wrapper = dict(type='fgdet.Bfloat16OptimWrapper')
model = dict(
    # Weights 0.1 and 0.5: arXiv 2505.05071, section 3.2.
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1),
    hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
)
