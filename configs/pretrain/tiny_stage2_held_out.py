# Stage 2 of a tiny FG-CLIP on generated scenes, for a CPU, scored on held-out scenes as it goes; the best is kept.
# Regions are told apart by the names of all 192 compositions.
_base_ = ['tiny_stage2.py', '../_base_/datasets/shapes_world_held_out.py']
train_cfg = dict(val_interval=100)
custom_hooks = [*_base_.custom_hooks, dict(type='fgdet.ClassTextsHook')]
default_hooks = dict(checkpoint=dict(save_best='region/top1', rule='greater'))
