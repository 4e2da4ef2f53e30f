# The two commands a newcomer needs are `make demo` and `make test`; both install or name what they need.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help tools build dist demo test test-clients test-vllm bench bench-sim soak mutants check clean

RHUMB := $(CURDIR)/target/release/rhumb
export RHUMB_BIN ?= $(RHUMB)

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer (rustup, or your system's packages), then try again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (SQLite and the allocator are built from source): install gcc or clang, then try again" >&2; exit 1; }

build: tools
	@[ -x $(RHUMB) ] || echo "building rhumb: a few minutes the first time" >&2
	@cargo build --release --locked --quiet -p rhumb -p rhumb-lab-bin

dist: tools ## Build the programs to install into target/dist, each with its symbols in a file beside it
	@command -v objcopy >/dev/null || { echo "objcopy is missing: install binutils" >&2; exit 1; }
	cargo build --profile dist --locked --quiet -p rhumb -p rhumb-lab-bin
	cd target/dist && for program in rhumb rhumb-lab; do \
	  objcopy --only-keep-debug $$program $$program.debug && \
	  objcopy --strip-all --add-gnu-debuglink=$$program.debug $$program; \
	done && ls -l rhumb rhumb.debug rhumb-lab rhumb-lab.debug

demo: build ## See a grid at work: emulated sites, real prices and distances (q ends it)
	@$(RHUMB) demo $(ARGS)

test: build ## Run every test, those against a real engine and the official SDK included
	@# A simulator that is not deterministic would make every later failure of one useless.
	cargo test --locked --quiet -p rhumb-world --test determinism
	cargo test --locked --quiet -p rhumb-lab --test same_seed
	@# cargo-nextest runs the tests of several files at a time: seven minutes where cargo alone needs fifteen.
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --workspace --profile ci --cargo-quiet && cargo test --locked --workspace --doc --quiet; \
	else \
	  cargo test --locked --workspace --quiet; \
	fi
	tests/real/run.sh

test-clients: build ## Run every block of docs/guide/clients.md, Claude Code and Codex included (installs 1 GB once)
	tests/real/run.sh clients

test-vllm: build ## Run the same tests against a real vLLM on the CPU (installs 6 GB once)
	tests/real/vllm.sh

bench: build ## Measure decisions, the simulator, and the gateway beside nginx (RHUMB_BENCH_DIR names the runner)
	@stat --format '%n: %s bytes' $(RHUMB) $(RHUMB)-lab
	cargo bench --locked --quiet -p rhumb-bench
	bench/sim.sh
	bench/run.sh

bench-sim: build ## Measure the simulator alone: speed, agreement with the emulator and with the live demo
	bench/sim.sh

soak: build ## Hold every oracle against drawn faults for SOAK_MINUTES (30), then the gateway's promises under load
	bench/soak.sh

mutants: tools ## Break pure/route, wire/json, wire/sse and wire/openai in every small way and see whether a test notices
	@command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	cargo mutants --package rhumb-route --package rhumb-json --package rhumb-sse --package rhumb-openai --timeout 60 --jobs 2 --output target/mutants

check: tools ## What CI checks before the tests: format, lints, sizes and links, licences
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	cargo xtask tidy
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --log-level error check bans licenses sources

clean: ## Remove what was built
	cargo clean
