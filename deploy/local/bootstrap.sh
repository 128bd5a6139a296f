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
    python=$(find_python)
    [ -n "$python" ] || fail "Kaito Bus needs Python 3.11 or newer. Found: $(python3 --version 2>&1 || echo none)." \
        "Install it (on Debian and Ubuntu: apt install python3 python3-venv) and run make again."
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail \
        "$("$python" --version) is there, but its venv module is not complete." \
        "Install it (on Debian and Ubuntu: apt install python3-venv) and run make again."
    echo "Making the Python environment $venv with $("$python" --version)."
    "$python" -m venv --clear "$venv"
}

# uv does not read pip's settings: a mirror, a folder of wheels or a certificate set for pip are handed over.
hand_over_pip_settings() {
    export UV_SYSTEM_CERTS=1
    index=${PIP_INDEX_URL:-$("$venv/bin/pip" config get global.index-url 2>/dev/null || true)}
    extra=${PIP_EXTRA_INDEX_URL:-$("$venv/bin/pip" config get global.extra-index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    if [ -n "$extra" ]; then # as pip does, the newest of all sources is taken
        export UV_INDEX="${UV_INDEX:-$(echo "$extra" | tr '\n' ' ')}" UV_INDEX_STRATEGY=unsafe-best-match
    fi
    [ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
}

install_all() {
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -r requirements.lock &&
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -e .
}

install_all_with_pip() {
    echo "uv could not install the packages; pip tries now." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! is_new_enough "$venv/bin/python"; then
    make_venv
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
hand_over_pip_settings
echo "Installing the packages of requirements.lock."
install_all || install_all_with_pip || fail \
    "The packages of requirements.lock could not be installed; the reason is above." \
    "Where packages come through a mirror, set it as for pip (PIP_INDEX_URL or pip.conf) and run make again."
