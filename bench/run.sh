#!/usr/bin/env bash
# `make bench`: the gateway beside nginx in one run of the side-by-side runner.
set -euo pipefail
cd "$(dirname "$0")"
dir="${RHUMB_BENCH_DIR:-}"
if [ -z "$dir" ] || [ ! -f "$dir/run.py" ]; then
  echo "the side-by-side runner is not there: name its folder (the one with run.py) in RHUMB_BENCH_DIR" >&2
  exit 1
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp -r "$dir/." "$work/"
chmod -R u+w "$work"
(cd "$work" && cargo build --release --quiet)
export BENCH_OWN_CMD="$PWD/own.sh" BENCH_OWN_HEADERS="authorization: Bearer bench-key-0123456789"
cd "$work"
python3 run.py --rounds "${ROUNDS:-3}" --scale "${SCALE:-1}" --targets "${TARGETS:-own,nginx}" --out "$work/results.json"
python3 report.py "$work/results.json"
