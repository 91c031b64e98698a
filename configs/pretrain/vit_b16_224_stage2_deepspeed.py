# FG-CLIP stage 2, ViT-B/16 at 224 px, with gradients and optimiser spread over all GPUs by DeepSpeed's ZeRO-2.
_base_ = ['vit_b16_224_stage2.py', '../_base_/strategies/deepspeed_zero2.py']
