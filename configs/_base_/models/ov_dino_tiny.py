# DINO at the size of configs/_base_/models/fg_clip_tiny.py: one level of 64 channels, stride 8.
_base_ = './ov_dino.py'
model = dict(
    num_queries=20,
    num_feature_levels=1,
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(
        vision=dict(image_size=96, patch_size=8, width=128, num_layers=4, num_heads=4, mlp_width=512, output_dim=128),
        out_indices=(2,),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=128, scales=(1,)),
        dict(
            type='ChannelMapper',
            in_channels=[128],
            kernel_size=1,
            out_channels=64,
            act_cfg=None,
            norm_cfg=dict(type='GN', num_groups=8),
            num_outs=1,
        ),
    ],
    class_embeddings=dict(text_encoder=dict(width=128, num_layers=2, num_heads=4, mlp_width=512, output_dim=128)),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=4, num_levels=1),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=256),
        ),
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=4),
            cross_attn_cfg=dict(embed_dims=64, num_heads=4, num_levels=1),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=256),
        ),
    ),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(embed_dims=64, classifier=dict(embed_dim=128)),
    dn_cfg=dict(embed_dim=128, group_cfg=dict(num_dn_queries=40)),
    test_cfg=dict(
        max_per_img=100,
        # Some hundred steps teach where things are and what they are, but not that one query an object is enough.
        nms=dict(type='nms', iou_threshold=0.5),
        # Swept on the generated scenes, flat from 0.35 to 0.65; the small towers end at scales of 14 to 17.
        score_ensemble=dict(alpha=0.4, beta=0.5, temperature=0.07),
    ),
)
