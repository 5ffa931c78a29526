# cost.sh - what the parts cost: a connect, a registry, an agent. To be sourced by run.sh.
# shellcheck shell=bash
# shellcheck disable=SC2153 # SIZES: run.sh's

bench_connect() { play connect "${SIZES[@]}"; }

bench_registry() { play registry "${SIZES[@]}"; }

bench_agent() { play agent "${SIZES[@]}"; }
