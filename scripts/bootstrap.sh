#!/bin/sh
# Create .venv with the first Python >= 3.11 found, install the locked dependencies, and the project itself as editable.
# The stamp is written last: after an interruption the next run picks up where this one stopped.
set -eu
cd "$(dirname "$0")/.."

suitable() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suitable "$PYTHON" && echo "$PYTHON" && return
        echo "setup: PYTHON=$PYTHON isn't a Python 3.11 or newer with venv and ensurepip" >&2
        return 1
    fi
    # 3.11 and 3.12 first: every locked package has a wheel for them.
    for candidate in python3.12 python3.11 python3 python3.13 python3.14 python; do
        suitable "$candidate" && echo "$candidate" && return
    done
    echo "setup: no Python 3.11 or newer with venv found; install one (Debian: python3 and python3-venv)," \
        "or name it: make PYTHON=/path/to/python" >&2
    return 1
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "setup: creating .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear .venv
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"; }

if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
    .venv/bin/python scripts/tools.py ensure leveldb
    leveldb=$PWD/.tools/leveldb/usr
    for libraries in "$leveldb"/lib/*-linux-gnu*; do
        [ -d "$libraries" ] || continue
        # The old kind of run path, because libleveldb finds libsnappy through it too.
        export CPLUS_INCLUDE_PATH="$leveldb/include" LIBRARY_PATH="$libraries"
        export LDFLAGS="-Wl,--disable-new-dtags,-rpath,$libraries"
        export PIP_NO_CACHE_DIR=1 # what is built now fits this checkout only
    done
fi

echo "setup: installing the locked dependencies (a minute the first time)"
pip install --quiet --require-hashes --requirement requirements.lock
echo "setup: installing proofmill into .venv"
pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/.installed
