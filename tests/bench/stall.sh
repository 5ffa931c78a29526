# stall.sh - what others notice of Keyturn's work. To be sourced by run.sh.
#
# Keyturn's broker, which bench/stall.py starts itself, since it has to end and come back, with bench_hold between the
# two; and a bare one.
# shellcheck shell=bash
# shellcheck disable=SC2153 # HUBS, ROUNDS, DEVICES, COUNT: run.sh's

STALL_HUBS=1000
STALL_ROUNDS=3
STALL_DEVICES=100000 # registered

bench_stall() {
	local hubs=${HUBS:-$STALL_HUBS} devices=${DEVICES:-$STALL_DEVICES} real port bare bare_pid
	real=$((hubs + 1 + COUNT)) # and one of which two clients mind their own business, and those of the burst
	[ "$devices" -ge "$real" ] || devices=$real
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	bare_place bare
	shipped_broker bare
	bare=$BG_PID:$PORT bare_pid=$BG_PID
	keyturn_place keyturn "$devices" "$real"
	port=$PORT
	echo "listener 0 $KT_TMP/keyturn/op.sock" >>"$KT_TMP/keyturn/mosquitto.conf"
	lead stall keyturn "$port" --hubs "$hubs" --rounds "${ROUNDS:-$STALL_ROUNDS}" --devices "$devices" --burst "$COUNT" \
		--bare "$bare" --broker "$KT_BROKER"
	stop_pid "$bare_pid" 60 || not_ok 'a broker ends as it should' "$(tail -n 5 "$KT_TMP/bare.log")" >&"$TALK"
}
