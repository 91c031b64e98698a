# Sourced by dist_train.sh and dist_test.sh: `launch SCRIPT NUM [arguments]` starts NUM processes of a Python script here.
python=${PYTHON:-python}

launch() {
    local script=$1 number=$2 place
    shift 2
    # One line instead of a traceback from each process.
    "$python" - "$number" <<'EOF' || exit
import sys

import torch

number, gpus = sys.argv[1], torch.cuda.device_count()
if not number.isdecimal() or int(number) < 1:
    sys.exit(f'the number of GPUs is {number!r}; give a whole number, 1 or more')
if 0 < gpus < int(number):
    sys.exit(f'{number} GPUs are asked for and this machine has {gpus}; give {gpus}, or choose others in CUDA_VISIBLE_DEVICES')
if not gpus:
    print(f'torch sees no GPU: {number} processes on the CPU, over gloo', file=sys.stderr)
EOF
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-${MASTER_PORT:-}}" ]; then
        place=(--standalone) # a free port, so that two runs share a machine
    else
        place=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-${MASTER_PORT:-29500}}")
    fi
    exec "$python" -m torch.distributed.run "${place[@]}" --nproc_per_node="$number" \
        "$(dirname "${BASH_SOURCE[0]}")/$script" "$@" --launcher pytorch
}
