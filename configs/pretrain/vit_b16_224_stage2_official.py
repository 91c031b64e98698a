# FG-CLIP stage 2, ViT-B/16 at 224 px, as the official code computes it (FG-CLIP, train_fgclip.py): region phrases are
# told apart within a GPU, equal texts are each other's negatives, and nothing bounds the scales. Ours differ in all
# three.
_base_ = 'vit_b16_224_stage2.py'
model = dict(
    region_loss=dict(gather=False), hard_negative_loss=dict(gather=False), duplicate_aware=False, max_logit_scale=None
)
