# FG-CLIP stage 2, ViT-L/14 at 336 px, with weights and optimiser spread over all GPUs.
_base_ = ['vit_l14_336_stage2.py', '../_base_/strategies/fsdp.py']
