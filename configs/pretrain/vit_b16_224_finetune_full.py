# Fine-tuning of FG-CLIP ViT-B/16 at 224 px on regions of one's own, all weights. It needs thousands of images, or what
# else the model knows fades: compare with the frozen image tower and with LoRA, and score data of other kinds too.
_base_ = 'vit_b16_224_finetune_frozen_image.py'
model = dict(frozen=())
optim_wrapper = dict(optimizer=dict(lr=1e-6))  # as stage 2 (FG-CLIP, scripts/train.sh)
