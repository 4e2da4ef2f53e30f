#!/usr/bin/env bash
# The simulator: how fast it is, how well the emulator agrees with it, and whether the live demo and the simulated one
# name the same winners. Wants nothing from outside; about half an hour, most of it the ten million requests.
set -euo pipefail
rhumb="${RHUMB_BIN:?name the built program in RHUMB_BIN, as make does}"
requests="${SIM_REQUESTS:-10000000}"
rate() { # LABEL REQUESTS COMMAND…: elapsed time, requests per core-minute, peak memory
  local label="$1" count="$2"; shift 2
  python3 - "$label" "$count" "$@" <<'PY'
import resource, subprocess, sys, time
label, count, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
start = time.monotonic()
code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
wall, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
if code not in (0, 3):
    sys.exit(f"{' '.join(command)} ended with {code}")
core = used.ru_utime + used.ru_stime
print(f"{label}: {count:,} requests in {wall:.1f} s, {count / core * 60 / 1e6:.2f} million per core-minute, "
      f"peak memory {used.ru_maxrss / 2**20:.2f} GiB")
PY
}
rate "43 sites, 60 % of capacity" 1000000 "$rhumb" sim edge-43 --router rhumb --requests 1000000 --no-loads --json
rate "4,400 sites, 60 % of capacity" "$requests" "$rhumb" sim grid-4400 --requests "$requests" --json
echo
cargo run --locked --quiet --release -p rhumb-tests --example agree
echo
python3 - "$rhumb" <<'PY'
import json, subprocess, sys
seed = "31"
live = json.loads(subprocess.run([sys.argv[1], "demo", "--seconds", "60", "--json", "--seed", seed], capture_output=True).stdout)
sim = json.loads(subprocess.run([sys.argv[1], "sim", "demo", "--seed", seed, "--json"], capture_output=True).stdout)
lines = {"TTFT p50 ms": ("ttft_ms", "p50"), "TTFT p95 ms": ("ttft_ms", "p95"), "USD/Mtok metered": ("usd_per_mtok", "metered"),
         "network p50 ms": ("network_ms", "p50")}
routers = [r for r in live["routers"] if r in sim["routers"]]
print(f"live demo and simulated demo, seed {seed}: live / simulated")
agree = True
for name, (a, b) in lines.items():
    of = lambda report, r: report["routers"][r][a][b]
    winner = lambda report: min(routers, key=lambda r: of(report, r))
    same = winner(live) == winner(sim)
    agree &= same
    cells = ", ".join(f"{r} {of(live, r):.4g} / {of(sim, r):.4g}" for r in routers)
    print(f"{name}: {cells}; winner {winner(live)} / {winner(sim)}{'' if same else ' DIFFER'}")
print("they agree on who wins each line" if agree else "they do not agree on every line")
PY
