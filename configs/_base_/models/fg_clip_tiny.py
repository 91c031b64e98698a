# A small FG-CLIP that learns the generated scenes on a CPU: 96 px, patches of 8, four blocks of 128 channels.
model = dict(
    type='fgdet.FGCLIPPretrainer',
    clip=dict(
        type='fgdet.FGCLIP',
        vision=dict(image_size=96, patch_size=8, width=128, num_layers=4, num_heads=4, mlp_width=512, output_dim=128),
        text=dict(width=128, num_layers=2, num_heads=4, mlp_width=512, output_dim=128),
        checkpoint=None,
    ),
    global_loss=dict(type='fgdet.ImageTextContrastiveLoss', loss_weight=1.0),
)
