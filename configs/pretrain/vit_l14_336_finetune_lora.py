# Fine-tuning of FG-CLIP ViT-L/14 at 336 px on regions of one's own through low-rank adapters (arXiv 2106.09685) on the
# attention of both towers. Rank 16 and alpha 32 are common choices, not published ones for FG-CLIP. The best checkpoint
# loads as plain weights: FGCLIP.from_pretrained, `fgdet convert`, the detectors.
_base_ = 'vit_l14_336_finetune_frozen_image.py'
model = dict(frozen=(), lora=dict(rank=16, alpha=32, towers=('visual', 'text')))
# Adapters learn at larger steps than weights: 2e-4 is what the paper gives GPT-2.
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=0.0))
