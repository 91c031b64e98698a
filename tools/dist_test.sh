#!/usr/bin/env bash
# Evaluate on several GPUs (or CPU processes): bash tools/dist_test.sh CONFIG CHECKPOINT NUM_GPUS [arguments of tools/test.py]
# Several machines: run it on each, with NNODES, MASTER_ADDR and PORT alike, and NODE_RANK=0, 1, ...
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT NUM_GPUS [arguments of tools/test.py]" >&2; exit 2; }
. "$(dirname "${BASH_SOURCE[0]}")/dist.sh"
launch test.py "$3" "$1" "$2" "${@:4}"
