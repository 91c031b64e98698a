# FG-CLIP stage 2, ViT-B/16 at 224 px, on FineHARD, 8 GPUs: global, region and hard-negative losses. The official recipe
# (FG-CLIP, scripts/train.sh), with two differences that a flag takes back: equal phrases are no negatives
# (model.duplicate_aware=False) and the scales stay below 100 (model.max_logit_scale=None).
# Start from stage 1 or from a hub id: --cfg-options model.clip.checkpoint=qihoo360/fg-clip-base
_base_ = [
    '../_base_/models/fg_clip_vit_b16.py',
    '../_base_/datasets/finehard_224.py',
    '../_base_/schedules/pretrain_adamw.py',
    '../_base_/pretrain_runtime.py',
]
optim_wrapper = dict(type='fgdet.Bfloat16OptimWrapper')  # --bf16 True; the weights themselves stay in float32
model = dict(
    # Weights 0.1 and 0.5: arXiv 2505.05071, section 3.2.
    region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1),
    hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
)
