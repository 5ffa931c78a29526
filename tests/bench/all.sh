# all.sh - all benchmarks, one after the other, as one document. To be sourced by run.sh.
#
# Each runs as a command of its own, so that none sees what another has left behind.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what quick_sizes sets is read by the benchmarks

# quick_sizes NAME: to see whether it works; its figures say nothing.
quick_sizes() {
	SESSIONS=(1 50) COUNT=100 ROUNDS=1 ABUSE_ROUNDS=1 ABUSE_SECONDS=6
	case $1 in
	connect) DEVICES=10,1000 SIZES=(--clients 100 --revoked 10 --connects 10 --cpu-connects 20) ;;
	registry) DEVICES=1000,2000 SIZES=(--clients '200,400' --commands 20 --groups 20) ;;
	rotation | scale) HUBS=20 ;;
	stall) HUBS=20 DEVICES=200 ;;
	agent) SIZES=(--idle 3 --rotations 2) ;;
	esac
}

all_results() { # NAME...
	local name options=(--json --broker "$KT_BROKER") began counts
	[ "$QUICK" = 0 ] || options+=(--quick)
	mkdir -p "$KT_ROOT/build/bench"
	for name; do
		tell "--- $name"
		began=$EPOCHSECONDS
		"$KT_ROOT/tests/bench/run.sh" "$name" "${options[@]}" 2>&1 >"$KT_TMP/$name.out" </dev/null |
			tee "$KT_TMP/$name.story" >&"$TALK"
		PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -B "$KT_ROOT/tests/bench/all.py" result "$name" "$KT_TMP/$name.out" \
			"$KT_TMP/$name.story" $((EPOCHSECONDS - began)) >"$KT_TMP/$name.result" || fatal "$name: no result"
		cp "$KT_TMP/$name.result" "$KT_ROOT/build/bench/$name.json"
		counts=$(tail -n 1 "$KT_TMP/$name.out")
		if [[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
			KT_PASSED=$((KT_PASSED + BASH_REMATCH[1])) KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
		else
			not_ok "$name came to its end" "$counts" >&"$TALK"
		fi
	done
}

bench_all() {
	local name names=()
	for name in "${BENCHMARKS[@]}"; do
		[ -n "$ONLY" ] && [[ ",$ONLY," != *",$name,"* ]] || names+=("$name")
	done
	[ "${#names[@]}" -gt 0 ] || fatal "no such benchmark: $ONLY"
	all_results "${names[@]}"
	if [ "$JSON" = 1 ]; then
		KT_BROKER=$KT_BROKER PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -B "$KT_ROOT/tests/bench/all.py" join \
			"${names[@]/#/$KT_ROOT/build/bench/}"
	fi
}
