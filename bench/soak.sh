#!/usr/bin/env bash
# First the simulator: drawn schedules of faults until SOAK_MINUTES (30) are over; seeds go on from SOAK_FROM (1000),
# CHUNK at a time. What fails is printed with the command that shows it again, and the soak goes on. Then the gateway:
# what is promised of it under load, measured on this machine (12 minutes, and SOAK_MINUTES for its memory). Ends with 1
# if anything failed or a line was missed.
set -euo pipefail
cd "$(dirname "$0")/.."
MINUTES=${SOAK_MINUTES:-30}
FROM=${SOAK_FROM:-1000}
CHUNK=${SOAK_CHUNK:-25}
END=$((SECONDS + MINUTES * 60))
FAILED=0
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

# --- the simulator -------------------------------------------------------------------------------------------------
simulator() {
    local to=$((FROM + CHUNK))
    if RHUMB_SEEDS="$FROM..$to" cargo test --locked --quiet -p rhumb-world --test schedules >"$LOG" 2>&1; then
        echo "simulator: seeds $FROM..$to hold"
    else
        FAILED=1
        echo "simulator: seeds $FROM..$to" >&2
        # The schedules that failed; all of it where something else did, such as the build.
        grep -E '^[a-z0-9_]+, seed |^see it again' "$LOG" >&2 || cat "$LOG" >&2
        echo "add each to sim/world/tests/regressions.txt as \`NAME SEED WHY\`" >&2
    fi
    FROM=$to
}

cargo test --locked --quiet -p rhumb-world --test schedules --no-run
while ((SECONDS < END)); do
    simulator
done

# --- the gateway ---------------------------------------------------------------------------------------------------
cargo run --release --locked --quiet -p rhumb-tests --example soak || FAILED=1
exit "$FAILED"
