# DeepSpeed's ZeRO-2, as FG-CLIP was trained (FG-CLIP, scripts/train.sh): gradients and optimiser spread over the GPUs;
# on each of them all weights in bfloat16, and its share in float32. Needs pip install 'fgdet[deepspeed]'.
# Start with tools/dist_train.sh. A checkpoint is a folder, with weights.pth in it for FGCLIP.from_pretrained.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='fgdet.DeepSpeedStrategy',
    bf16=dict(enabled=True),
    zero_optimization=dict(stage=2, overlap_comm=True, contiguous_gradients=True),
    inputs_to_half=['inputs'],
)
