# FG-CLIP stage 2, ViT-B/16 at 224 px, streamed from tar shards (key.jpg and key.json) on disk, http(s):// or any fsspec
# URL. Several sources are mixed by weight: [dict(shards='a-{00..99}.tar', weight=3), dict(shards='s3://bucket/b.tar')].
_base_ = 'vit_b16_224_stage2.py'
train_dataloader = dict(
    sampler=dict(_delete_=True, type='fgdet.StreamSampler'),
    dataset=dict(
        _delete_=True,
        type='fgdet.RegionTextShards',
        sources='data/finehard/shards/train-{000000..000999}.tar',
        pipeline=_base_.pipeline,
        shuffle_buffer=1000,  # samples, still encoded, of each worker
    ),
)
