# FG-CLIP stage 2, ViT-B/16 at 224 px, with weights and optimiser spread over all GPUs.
_base_ = ['vit_b16_224_stage2.py', '../_base_/strategies/fsdp.py']
