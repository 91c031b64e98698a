# F-ViT (CLIPSelf, arXiv 2310.01403, section 4): a frozen tower, a pyramid of four of its blocks, a two-stage head with
# a text classifier, and scores joined with the tower's own. Sizes of FG-CLIP ViT-B/16; a leaf config gives weights and
# vocabulary.
model = dict(
    type='fgdet.OpenVocabularyRCNN',
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
        dict(type='FPN', in_channels=[192, 384, 768, 768], out_channels=256, num_outs=5),
    ],
    class_embeddings=dict(
        type='fgdet.ClassEmbeddings',
        text_encoder=dict(
            type='fgdet.TextTransformer', width=512, num_layers=12, num_heads=8, mlp_width=2048, output_dim=512
        ),
    ),
    rpn_head=dict(
        type='RPNHead',
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[1, 1, 1, 1]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    roi_head=dict(
        type='fgdet.OpenVocabularyRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(
            type='fgdet.TextBBoxHead',
            in_channels=256,
            num_shared_convs=4,
            num_shared_fcs=1,
            classifier=dict(type='fgdet.TextClassifier', embed_dim=512),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
            loss_bbox=dict(type='L1Loss'),
        ),
    ),
    # mmdet's settings of Faster R-CNN with a pyramid.
    train_cfg=dict(
        rpn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
        ),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            score_thr=0.01,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100,
            # The formula is F-VLM's (arXiv 2209.15639, section 3: alpha below beta, both in 0..1). Which numbers are
            # best depends on the towers and was published for none of FG-CLIP's: starting points, to be swept.
            score_ensemble=dict(alpha=0.2, beta=0.45, temperature=0.01),
        ),
    ),
)
