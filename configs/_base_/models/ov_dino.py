# DINO (arXiv 2203.03605) on a frozen tower: four levels from four of its blocks, a text classifier for the proposals
# and every decoder layer, and scores joined with the tower's own. Sizes of FG-CLIP ViT-B/16, numbers of mmdet's
# configs/dino/dino-4scale_r50 where no other source is named; a leaf config gives weights and vocabulary.
model = dict(
    type='fgdet.OpenVocabularyDINO',
    num_queries=900,
    num_feature_levels=4,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[122.7709, 116.7460, 104.0938],  # CLIP's, times 255
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True,
        pad_size_divisor=32,  # two patches: the coarsest tap halves the map
    ),
    backbone=dict(
        type='fgdet.CLIPViTBackbone',
        vision=dict(
            image_size=224, patch_size=16, width=768, num_layers=12, num_heads=12, mlp_width=3072, output_dim=512
        ),
        out_indices=(5, 7, 11),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=768, scales=(2, 1, 0.5)),  # strides 8, 16, 32
        dict(
            type='ChannelMapper',
            in_channels=[384, 768, 768],
            kernel_size=1,
            out_channels=256,
            act_cfg=None,
            norm_cfg=dict(type='GN', num_groups=32),
            num_outs=4,  # and 64
        ),
    ],
    class_embeddings=dict(
        type='fgdet.ClassEmbeddings',
        text_encoder=dict(
            type='fgdet.TextTransformer', width=512, num_layers=12, num_heads=8, mlp_width=2048, output_dim=512
        ),
    ),
    encoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
    ),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=128, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='fgdet.OVDINOHead',
        embed_dims=256,
        sync_cls_avg_factor=True,
        # A bias of -ln(99): every probability begins near 0.01 (focal loss, arXiv 1708.02002, section 4.1).
        classifier=dict(type='fgdet.TextClassifier', embed_dim=512, temperature=0.07, background=False, bias=-4.595),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(
        type='fgdet.TextCdnQueryGenerator',
        embed_dim=512,
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(
        max_per_img=300,
        score_thr=0.0,
        # Starting points, to be swept, as those of fvit.py.
        score_ensemble=dict(alpha=0.2, beta=0.45, temperature=0.01),
    ),
)
