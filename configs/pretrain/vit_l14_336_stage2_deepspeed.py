# FG-CLIP stage 2, ViT-L/14 at 336 px, with gradients and optimiser spread over all GPUs by DeepSpeed's ZeRO-2.
_base_ = ['vit_l14_336_stage2.py', '../_base_/strategies/deepspeed_zero2.py']
