# Stage 1 of a tiny FG-CLIP on generated scenes, for a CPU: the global loss on long and short captions.
_base_ = [
    '../_base_/models/fg_clip_tiny.py',
    '../_base_/datasets/shapes_world_pretrain.py',
    '../_base_/schedules/pretrain_tiny.py',
    '../_base_/pretrain_runtime.py',
]
default_hooks = dict(checkpoint=dict(interval=100))
