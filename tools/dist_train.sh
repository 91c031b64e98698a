#!/usr/bin/env bash
# Train on several GPUs: bash tools/dist_train.sh CONFIG NUM_GPUS [arguments of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR (and MASTER_PORT) alike on each.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG NUM_GPUS [arguments of tools/train.py]" >&2; exit 2; }
config=$1 gpus=$2
shift 2

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${MASTER_PORT:-29500}" \
    "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher pytorch "$@"
