# cost.sh - what the parts cost: a connect, a registry, an agent. To be sourced by run.sh.
# shellcheck shell=bash
# shellcheck disable=SC2153 # ROUNDS, DEVICES, SIZES: run.sh's

bench_connect() { cost connect; }
bench_registry() { cost registry; }

# certmonger is what Debian has of the kind; not every release does, and then it is left out, which the report says.
bench_agent() {
	if ! command -v certmonger >/dev/null && apt-cache show certmonger >/dev/null 2>&1; then
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends certmonger \
			>"$KT_TMP/certmonger.install" 2>&1 </dev/null || tell "$(tail -n 3 "$KT_TMP/certmonger.install")"
	fi
	cost agent
}

cost() { # NAME
	local sizes=()
	[ -z "$DEVICES" ] || sizes+=(--devices "$DEVICES")
	[ -z "$ROUNDS" ] || sizes+=(--rounds "$ROUNDS")
	play "$1" "${sizes[@]}" "${SIZES[@]}"
}
