# Stage 2 of ViT-B/16 at 224 px, 8 GPUs, scored on held-out records as it goes, the best kept. Where they lie:
# --cfg-options val_dataloader.dataset.records=FILE val_dataloader.dataset.image_root=FOLDER (and test_dataloader's).
_base_ = ['vit_b16_224_stage2.py', '../_base_/datasets/held_out_224.py']
train_cfg = dict(val_interval=500)
default_hooks = dict(checkpoint=dict(save_best='region/top1', rule='greater'))
