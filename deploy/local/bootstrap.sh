#!/bin/sh
# Makes the Python environment of the control plane from requirements.lock: bootstrap.sh FOLDER UV_VERSION
# Runs before any Python package is there, so it needs a shell and Python 3.11 alone. No root.
set -eu

venv=$1
uv_version=$2

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null 2>&1 && is_new_enough "$name"; then
            echo "$name"
            return
        fi
    done
}

make_venv() {
    [ -n "$python" ] || fail "Kaito Bus needs Python 3.11 or newer. Found: $(python3 --version 2>&1 || echo none)." \
        "Install it (on Debian and Ubuntu: apt install python3 python3-venv) and run make again."
    echo "Making the Python environment $venv with $("$python" --version)."
    "$python" -m venv --clear --without-pip "$venv"
}

# The pip that Python has serves too, from 22.3 on; to make a copy of it takes seconds.
ensure_pip() {
    "$venv/bin/python" -c 'import pip' 2>/dev/null ||
        "$python" -c 'import pip, sys; sys.exit([*map(int, pip.__version__.split(".")[:2])] < [22, 3])' 2>/dev/null ||
        "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || fail \
        "$("$venv/bin/python" --version) is there, but has neither a pip of 22.3 or newer nor a complete venv module." \
        "Install one (on Debian and Ubuntu: apt install python3-venv) and run make again."
}

pip() {
    if "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$venv/bin/python" -m pip --disable-pip-version-check "$@"
    else
        "$python" -m pip --python "$venv/bin/python" --disable-pip-version-check "$@"
    fi
}

# pip writes a setting of several lines with \n between them.
pip_setting() {
    printf '%s\n' "$settings" | sed -n "s/^global\.$1='\(.*\)'$/\1/p" | sed 's/\\n/ /g'
}

# uv does not read pip's settings: a mirror, a folder of wheels or a certificate set for pip are handed over.
hand_over_pip_settings() {
    export UV_SYSTEM_CERTS=1
    settings=$(pip config list 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$(pip_setting index-url)}
    extra=${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    if [ -n "$extra" ]; then # as pip does, the newest of all sources is taken
        export UV_INDEX="${UV_INDEX:-$(printf %s "$extra" | tr '\n' ' ')}" UV_INDEX_STRATEGY=unsafe-best-match
    fi
    [ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
}

install_all() {
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -r requirements.lock -e .
}

install_all_with_pip() {
    echo "uv could not install the packages; pip tries now." >&2
    pip install --quiet --no-deps -r requirements.lock && pip install --quiet --no-deps -e .
}

python=$(find_python)
is_new_enough "$venv/bin/python" || make_venv
ensure_pip
pip install --quiet "uv==$uv_version"
hand_over_pip_settings
echo "Installing the packages of requirements.lock."
install_all || install_all_with_pip || fail \
    "The packages of requirements.lock could not be installed; the reason is above." \
    "Where packages come through a mirror, set it as for pip (PIP_INDEX_URL or pip.conf) and run make again."
