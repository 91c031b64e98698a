# The tiny F-ViT with masks of 14 x 14 cells.
_base_ = './fvit_tiny.py'
model = dict(
    roi_head=dict(
        mask_roi_extractor=dict(
            type='fgdet.SeparableRoIExtractor',
            roi_layer=dict(output_size=7),
            out_channels=64,
            featmap_strides=[4, 8, 16],
            finest_scale=20,
        ),
        mask_head=dict(
            type='FCNMaskHead',
            class_agnostic=True,
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=14)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
