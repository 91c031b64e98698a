#!/usr/bin/env bash
# Train on several GPUs (or CPU processes): bash tools/dist_train.sh CONFIG NUM_GPUS [arguments of tools/train.py]
# Several machines: run it on each, with NNODES, MASTER_ADDR and PORT alike, and NODE_RANK=0, 1, ...
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG NUM_GPUS [arguments of tools/train.py]" >&2; exit 2; }
. "$(dirname "${BASH_SOURCE[0]}")/dist.sh"
launch train.py "$2" "$1" "${@:3}"
