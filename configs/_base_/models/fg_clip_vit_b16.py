# FG-CLIP ViT-B/16 at 224 px: the sizes of OpenAI's CLIP ViT-B/16 (arXiv 2103.00020, table 20), 248 long positions.
model = dict(
    type='fgdet.FGCLIPPretrainer',
    clip=dict(
        type='fgdet.FGCLIP',
        vision=dict(
            image_size=224,
            patch_size=16,
            width=768,
            num_layers=12,
            num_heads=12,
            mlp_width=3072,
            output_dim=512,
            gradient_checkpointing=True,
        ),
        text=dict(width=512, num_layers=12, num_heads=8, mlp_width=2048, output_dim=512, gradient_checkpointing=True),
        checkpoint=None,  # weights to start from: a folder, a file or a hub id
    ),
    global_loss=dict(type='fgdet.ImageTextContrastiveLoss', loss_weight=1.0),
)
