#!/usr/bin/env bash
# Runs the tests with real components; the last line printed is pytest's summary, the exit code is pytest's.
# Usage: RHUMB_BIN=PROGRAM run.sh [pytest arguments]     default program: target/release/rhumb of this repository
#        RHUMB_BIN=PROGRAM run.sh clients [arguments]    the clients of docs/guide/clients.md instead
#        BASE_URL=direct run.sh                          llama-server alone, to check the tests themselves
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
RHUMB_CACHE=${RHUMB_CACHE:-$HOME/.cache/rhumb}
if [ -z "${BASE_URL:-}" ]; then
    RHUMB_BIN=$(realpath -m "${RHUMB_BIN:-$here/../../target/release/rhumb}")
    if [ ! -x "$RHUMB_BIN" ]; then
        echo "run: no program at $RHUMB_BIN: build it with 'cargo build --release', or name another in RHUMB_BIN" >&2
        exit 2
    fi
    export RHUMB_BIN
fi

files=("$here/test_sdk.py" "$here/test_messages.py" "$here/test_native.py" "$here/test_events.py" "$here/test_responses.py" "$here/test_tasks.py" "$here/test_batches.py")
if [ "${1:-}" = clients ]; then
    shift
    files=("$here/test_clients.py")
    "$here/install.sh" clients
else
    "$here/install.sh"
fi
RHUMB_CACHE=$(realpath "$RHUMB_CACHE")
export RHUMB_CACHE
# Written anew every time: it takes a fraction of a second and follows the script.
"$RHUMB_CACHE/venv/bin/python" "$here/make_tiny_model.py" "$RHUMB_CACHE/tiny.gguf"

# The cache of compiled tests would land in the repository.
export PYTHONDONTWRITEBYTECODE=1
exec "$RHUMB_CACHE/venv/bin/pytest" -q -p no:cacheprovider --rootdir "$here" "${files[@]}" "$@"
