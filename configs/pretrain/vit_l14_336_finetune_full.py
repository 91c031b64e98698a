# Fine-tuning of FG-CLIP ViT-L/14 at 336 px on regions of one's own, all weights. It needs thousands of images, or what
# else the model knows fades: compare with the frozen image tower and with LoRA, and score data of other kinds too.
_base_ = 'vit_l14_336_finetune_frozen_image.py'
model = dict(frozen=())
optim_wrapper = dict(optimizer=dict(lr=1e-6))  # as stage 2 (FG-CLIP, scripts/train.sh)
