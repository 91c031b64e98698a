# What FG-CLIP ViT-L/14 at 336 px changes in fvit.py. Patches of 14 pixels give strides 3.5, 7, 14, 28 and 56; the taps
# are those of ViT-B/16 (blocks 4, 6, 8 and 12 of 12) at the same depths: 8, 12, 16 and 24 of 24.
strides = [3.5, 7, 14, 28]
sizes = dict(
    data_preprocessor=dict(pad_size_divisor=28),  # two patches
    backbone=dict(
        vision=dict(
            image_size=336, patch_size=14, width=1024, num_layers=24, num_heads=16, mlp_width=4096, output_dim=768
        ),
        out_indices=(7, 11, 15, 23),
    ),
    neck=[
        dict(type='fgdet.SimpleFeaturePyramid', in_channels=1024),
        dict(type='FPN', in_channels=[256, 512, 1024, 1024], out_channels=256, num_outs=5),
    ],
    class_embeddings=dict(text_encoder=dict(width=768, num_heads=12, mlp_width=3072, output_dim=768)),
    rpn_head=dict(anchor_generator=dict(strides=[*strides, 56])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides),
        bbox_head=dict(classifier=dict(embed_dim=768)),
    ),
)
