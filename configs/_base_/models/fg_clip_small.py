# A small FG-CLIP for photographs on a CPU: 224 px, patches of 16, six blocks of 192 channels.
model = dict(
    type='fgdet.FGCLIPPretrainer',
    clip=dict(
        type='fgdet.FGCLIP',
        vision=dict(image_size=224, patch_size=16, width=192, num_layers=6, num_heads=3, mlp_width=768, output_dim=128),
        text=dict(width=192, num_layers=4, num_heads=3, mlp_width=768, output_dim=128),
        checkpoint=None,
    ),
    global_loss=dict(type='fgdet.ImageTextContrastiveLoss', loss_weight=1.0),
)
