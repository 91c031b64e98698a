# F-ViT at the size of configs/_base_/models/fg_clip_small.py: four levels of 96 channels, strides 4 to 32.
_base_ = './fvit.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        vision=dict(image_size=224, patch_size=16, width=192, num_layers=6, num_heads=3, mlp_width=768, output_dim=128),
        out_indices=(1, 2, 3, 4),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=192),
        dict(type='FPN', in_channels=[48, 96, 192, 192], out_channels=96, num_outs=4),
    ],
    class_embeddings=dict(text_encoder=dict(width=192, num_layers=4, num_heads=3, mlp_width=768, output_dim=128)),
    rpn_head=dict(in_channels=96, feat_channels=96, anchor_generator=dict(strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            _delete_=True,
            type='fgdet.SeparableRoIExtractor',
            roi_layer=dict(output_size=7),
            out_channels=96,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(
            in_channels=96,
            num_shared_convs=1,
            conv_out_channels=96,
            fc_out_channels=256,
            classifier=dict(embed_dim=128),
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img=300),
        rcnn=dict(score_ensemble=dict(temperature=0.07)),  # 1 / 14: the scale that the small towers end near
    ),
)
