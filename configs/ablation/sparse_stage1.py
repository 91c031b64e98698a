# Ablation where near misses are rare, stage 1: 144 names, and one region of a scene is described.
_base_ = '../pretrain/tiny_stage1.py'
model = dict(clip=dict(vision=dict(image_size=64)))
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        world=dict(image_size=64, objects_per_scene=(2, 3), object_size=(20, 40)),
        pipeline=[
            dict(type='fgdet.TokenizeRegionText', max_regions=1),
            dict(type='fgdet.PackRegionTextInputs'),
        ],
    ),
)
default_hooks = dict(checkpoint=dict(interval=10_000, save_last=True, save_optimizer=False), logger=dict(interval=5))
