# The one-stage detector at the size of configs/_base_/models/fg_clip_tiny.py: three levels of 64 channels, strides 4, 8
# and 16.
_base_ = './ov_atss.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        vision=dict(image_size=96, patch_size=8, width=128, num_layers=4, num_heads=4, mlp_width=512, output_dim=128),
        out_indices=(0, 1, 2),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=128, scales=(2, 1, 0.5)),
        dict(type='FPN', in_channels=[64, 128, 128], out_channels=64, num_outs=3),
    ],
    class_embeddings=dict(text_encoder=dict(width=128, num_layers=2, num_heads=4, mlp_width=512, output_dim=128)),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8),
        classifier=dict(embed_dim=128, temperature=0.07),
        anchor_generator=dict(octave_base_scale=5, strides=[4, 8, 16]),  # sides of 20, 40 and 80 pixels
    ),
    test_cfg=dict(
        max_cells=200,
        score_ensemble=dict(temperature=0.07),  # the small towers end at scales of 14 to 17
    ),
)
