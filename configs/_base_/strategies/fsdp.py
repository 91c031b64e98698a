# FSDP: each GPU keeps a share of the weights, gradients and optimiser, and gathers a block's weights to run it.
# Start with tools/dist_train.sh or --launcher slurm. Checkpoints are whole: any run goes on from them.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='fgdet.FSDPStrategy',
    wrap=('TransformerBlock',),  # both towers' blocks: 24 of ViT-B/16's, 36 of ViT-L/14's
    param_dtype='bfloat16',  # gathered and computed; shards, sums of gradients and the optimiser stay in float32
)
