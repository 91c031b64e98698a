# Sourced by quickstart.sh and run_tests.sh, which set `root`: finds or makes the virtual environment and installs fgdet.
# Leaves the interpreter to use in `python`. A stamp in the environment makes a second call do nothing.

fail() {
    printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Print a digest of everything the installation depends on; the checkout's own path counts, because it is editable.
_installation_digest() {
    "$python" - "$root" setup.cfg pyproject.toml constraints.txt fgdet/version.py <<'PY'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(f'{root} {sys.version}'.encode())
for name in sys.argv[2:]:
    digest.update((root / name).read_bytes())
print(digest.hexdigest())
PY
}

_check_version() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' ||
        fail "$1 is $("$1" --version 2>&1); fgdet needs Python 3.10, 3.11 or 3.12: PYTHON=python3.11 bash $0"
}

# Use the active virtual environment, else <root>/.venv, made with $PYTHON (python3) where it is missing or broken.
_find_environment() {
    if [ -n "${VIRTUAL_ENV:-}" ] && [ -x "$VIRTUAL_ENV/bin/python" ]; then
        environment=$VIRTUAL_ENV
    else
        environment=$root/.venv
        if ! "$environment/bin/python" -c 'import pip' 2>/dev/null; then
            local base=${PYTHON:-python3}
            command -v "$base" >/dev/null || fail "$base: not found; name a Python 3.10 to 3.12: PYTHON=/path/to/python bash $0"
            _check_version "$base"
            "$base" -c 'import ensurepip, venv' 2>/dev/null ||
                fail "$base has no venv module; install it (Debian, Ubuntu: apt install python3-venv) and run this again"
            echo "making $environment with $("$base" --version 2>&1)"
            "$base" -m venv --clear "$environment" || fail "could not make $environment; see the lines above"
        fi
    fi
    python=$environment/bin/python
    _check_version "$python"
    "$python" -c 'import pip' 2>/dev/null || fail "$environment has no pip: $python -m ensurepip"
}

# An active environment belongs to its owner: its torch is never replaced behind their back.
_keep_torch() {
    local installed tested
    installed=$("$python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null) || return 0
    installed=${installed%%+*} # a build such as +cpu is the same version
    tested=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$root/constraints.txt")
    [ "$installed" = "$tested" ] || [ "$environment" = "$root/.venv" ] ||
        fail "the active environment has torch $installed and the tested set has $tested: run 'deactivate' and this again" \
            "(a .venv is made), or install by hand around your torch: pip install -e ."
}

# setup_env [EXTRA]: install fgdet, with the extra where one is given, unless that is already done.
setup_env() {
    local extra=${1:-} quiet=() digest stamp
    _find_environment
    digest=$(_installation_digest)
    stamp=$environment/.fgdet-installed${extra:+-$extra}
    # Without an extra any stamp will do: an installation with one serves as the plain one too.
    ! [ -x "$environment/bin/fgdet" ] || ! grep -qsxF "$digest" "$stamp"* || return 0
    _keep_torch
    [ -t 1 ] || quiet=(-qq)
    echo "installing fgdet${extra:+[$extra]} into $environment (torch and its libraries are the bulk, about 5 GB)"
    "$python" -m pip install --disable-pip-version-check --no-compile "${quiet[@]}" \
        -c "$root/constraints.txt" -e "$root${extra:+[$extra]}" </dev/null ||
        fail "the installation failed; pip's last lines above say at what. Check the network and the package index" \
            "(pip config list), and 15 GB of free disk ($(df -Ph "$root" | awk 'NR == 2 {print $4}') now), then run this again:" \
            "finished downloads are kept"
    echo "$digest" >"$stamp"
}
