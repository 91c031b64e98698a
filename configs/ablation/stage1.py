# Ablation, stage 1: the global loss on long and short captions, in a world of 72 names at 64 px that a CPU learns soon.
_base_ = '../pretrain/tiny_stage1.py'
model = dict(clip=dict(vision=dict(image_size=64)))
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        world=dict(
            image_size=64,
            colours=('red', 'yellow', 'green', 'blue', 'purple', 'pink'),
            shapes=('circle', 'square', 'triangle', 'star'),
            objects_per_scene=(2, 3),
            object_size=(20, 36),
            num_negatives=8,
        ),
    ),
)
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
