# ATSS (arXiv 1912.02424) with a text classifier, on the frozen tower of F-ViT (CLIPSelf, arXiv 2310.01403, section 4),
# scores joined with the tower's own. Sizes of FG-CLIP ViT-B/16; a leaf config gives weights and vocabulary.
model = dict(
    type='fgdet.OpenVocabularySingleStage',
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
        out_indices=(3, 5, 7, 11),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=768),
        # Strides 8 to 128, the two coarsest from convolutions, as in RetinaNet (arXiv 1708.02002, section 4).
        dict(
            type='FPN',
            in_channels=[192, 384, 768, 768],
            out_channels=256,
            start_level=1,
            add_extra_convs='on_output',
            num_outs=5,
        ),
    ],
    class_embeddings=dict(
        type='fgdet.ClassEmbeddings',
        text_encoder=dict(
            type='fgdet.TextTransformer', width=512, num_layers=12, num_heads=8, mlp_width=2048, output_dim=512
        ),
    ),
    bbox_head=dict(
        type='fgdet.OVATSSHead',
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        # A bias of -4.6 gives every cell a probability of 0.01 at first (RetinaNet, section 4.1).
        classifier=dict(type='fgdet.TextClassifier', embed_dim=512, background=False, bias=-4.6),
        # mmdet's settings of ATSS.
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(
        max_cells=1000,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100,
        # The formula is F-VLM's (arXiv 2209.15639, section 3: alpha below beta, both in 0..1). Which numbers are
        # best depends on the towers and was published for none of FG-CLIP's: starting points, to be swept.
        score_ensemble=dict(alpha=0.2, beta=0.45, temperature=0.01),
    ),
)
