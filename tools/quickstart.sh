#!/usr/bin/env bash
# From a clone to a report: install fgdet, run its demonstration on generated scenes, say where the report lies.
#   bash tools/quickstart.sh [arguments of `fgdet demo`]
# Uses the active virtual environment, or makes .venv in the checkout (with $PYTHON, else python3). Run it again at will.
set -euo pipefail
called_from=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tools/setup_env.sh"

out=$root/work_dirs/demo
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --) ;;
        --out) [ $# -ge 2 ] || fail '--out needs a folder'; out=$2; shift ;;
        --out=*) out=${1#--out=} ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
[ "${out#/}" != "$out" ] || out=$called_from/$out

cd "$root"
setup_env
"$environment/bin/fgdet" demo --out "$out" "${arguments[@]}"
[ ! -f "$out/report.html" ] || echo "report: $out/report.html"
