#!/usr/bin/env bash
# Starts rhumb as the benchmark's runner wants it: BENCH_PORT to listen on, BENCH_UPSTREAMS to serve model `mock` from,
# BENCH_SCRATCH for files. Everything a deployment has is on: keys, pins, prefix hashing, metrics, the decision log.
set -euo pipefail
config="$BENCH_SCRATCH/rhumb.yaml"
{
  echo "gateway: {listen: '127.0.0.1:$BENCH_PORT', admin_listen: '127.0.0.1:0', data_dir: '$BENCH_SCRATCH/data'}"
  echo "operators: [{name: bench}]"
  echo "sites: [{name: here, operator: bench, country: DE, latitude: 50, longitude: 8, energy_usd_per_kwh: 0.1, egress_usd_per_gb: 0.02}]"
  echo "models: [{name: mock, shape: llama-3.1-8b}]"
  echo "tenants: [{name: bench, keys: [{name: load, key: bench-key-0123456789}]}]"
  echo "endpoints:"
  n=0
  for url in ${BENCH_UPSTREAMS//,/ }; do
    n=$((n + 1))
    echo "  - {name: engine-$n, site: here, url: '$url', engine: vllm, gpu: h100, max_concurrency: 2048, models: [{model: mock, context_tokens: 1000000, price: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.2}}]}"
  done
} > "$config"
exec "$RHUMB_BIN" up -c "$config" 2>"$BENCH_SCRATCH/rhumb.log"
