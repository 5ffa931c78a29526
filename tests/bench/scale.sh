# scale.sh - is a hub as cheap among ten thousand as among a thousand? To be sourced by run.sh.
#
# One broker, a fleet that grows; a bare broker as the measure of how fast this machine is at the moment.
# bench/scale.py leads.
# shellcheck shell=bash
# shellcheck disable=SC2153 # HUBS, ROUNDS: run.sh's

SCALE_HUBS=10000
SCALE_ROUNDS=3

bench_scale() {
	local hubs=${HUBS:-$SCALE_HUBS} keyturn bare pid pids=()
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge $((hubs + 2000)) ] ||
		fatal "no more than $(ulimit -n) open files here: see ulimit -n"
	bare_place bare
	shipped_broker bare
	bare=$BG_PID:$PORT pids+=("$BG_PID")
	keyturn_place keyturn "$hubs" "$hubs"
	shipped_broker keyturn
	keyturn=$BG_PID:$PORT pids+=("$BG_PID")
	wait_for_socket 60 "$KT_TMP/keyturn/op.sock" || fatal 'no socket for operators'
	lead scale keyturn "$PORT" --hubs "$hubs" --rounds "${ROUNDS:-$SCALE_ROUNDS}" --keyturn "$keyturn" --bare "$bare"
	for pid in "${pids[@]}"; do
		stop_pid "$pid" 60 || not_ok 'a broker ends as it should' "$(tail -n 5 "$KT_TMP/keyturn.log")" >&"$TALK"
	done
}
