# FG-CLIP stage 1, ViT-L/14 at 336 px, 8 GPUs: the global loss on long and short captions, from CLIP's weights.
# Start from CLIP: --cfg-options model.clip.checkpoint=openai/clip-vit-large-patch14-336
_base_ = [
    '../_base_/models/fg_clip_vit_l14.py',
    '../_base_/datasets/finehard_336.py',
    '../_base_/schedules/pretrain_stage1.py',
    '../_base_/pretrain_runtime.py',
]
train_dataloader = dict(batch_size=384)  # per device (arXiv 2505.05071, section 4.1)
