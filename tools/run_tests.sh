#!/usr/bin/env bash
# Every check of the repository: ruff format, ruff check, mypy, pytest (without the tests marked slow, unless --all).
#   bash tools/run_tests.sh [--all] [arguments of pytest]
# Uses the active virtual environment, or makes .venv in the checkout (with $PYTHON, else python3). Run it again at will.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tools/setup_env.sh"

selection=(-m 'not slow')
arguments=()
for argument in "$@"; do
    case $argument in
        --) ;;
        --all) selection=() ;;
        *) arguments+=("$argument") ;;
    esac
done

cd "$root"
setup_env test

failed=()
check() { # check NAME COMMAND...
    local name=$1
    shift
    echo "== $name"
    "$python" -m "$@" || failed+=("$name")
}
check 'ruff format (mend: ruff format .)' ruff format --check .
check 'ruff check (mend: ruff check --fix .)' ruff check .
check mypy mypy fgdet
check pytest pytest "${selection[@]}" "${arguments[@]}"

if [ ${#failed[@]} -gt 0 ]; then
    printf 'run_tests.sh: failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
