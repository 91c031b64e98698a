# FG-CLIP ViT-L/14 at 336 px: the sizes of OpenAI's CLIP ViT-L/14 (arXiv 2103.00020, table 20), 248 long positions.
model = dict(
    type='fgdet.FGCLIPPretrainer',
    clip=dict(
        type='fgdet.FGCLIP',
        vision=dict(
            image_size=336,
            patch_size=14,
            width=1024,
            num_layers=24,
            num_heads=16,
            mlp_width=4096,
            output_dim=768,
            gradient_checkpointing=True,
        ),
        text=dict(width=768, num_layers=12, num_heads=12, mlp_width=3072, output_dim=768, gradient_checkpointing=True),
        checkpoint=None,  # weights to start from: a folder, a file or a hub id
    ),
    global_loss=dict(type='fgdet.ImageTextContrastiveLoss', loss_weight=1.0),
)
