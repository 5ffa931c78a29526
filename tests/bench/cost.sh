# cost.sh - what the parts cost: a connect, a registry, an agent. To be sourced by run.sh.
# shellcheck shell=bash
# shellcheck disable=SC2153 # ROUNDS, DEVICES, SIZES: run.sh's

bench_connect() { cost connect; }
bench_registry() { cost registry; }
bench_agent() { cost agent; }

cost() { # NAME
	local sizes=()
	[ -z "$DEVICES" ] || sizes+=(--devices "$DEVICES")
	[ -z "$ROUNDS" ] || sizes+=(--rounds "$ROUNDS")
	play "$1" "${sizes[@]}" "${SIZES[@]}"
}
