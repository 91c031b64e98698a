# FG-CLIP stage 1, ViT-B/16 at 224 px, 8 GPUs: the global loss on long and short captions, from CLIP's weights.
# Start from CLIP: --cfg-options model.clip.checkpoint=openai/clip-vit-base-patch16
_base_ = [
    '../_base_/models/fg_clip_vit_b16.py',
    '../_base_/datasets/finehard_224.py',
    '../_base_/schedules/pretrain_stage1.py',
    '../_base_/pretrain_runtime.py',
]
train_dataloader = dict(batch_size=384)  # per device (arXiv 2505.05071, section 4.1)
