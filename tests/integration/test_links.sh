#!/bin/bash
# Links that close while messages arrive: does anybody touch memory that is not his any more? And a link that
# comes up while the broker ends the other one: does it hear?

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
for name in link_storm link_kicked; do
	[ -x "$KT_BUILD/tests/$name" ] || fatal "$name is not built in $KT_BUILD"
done
scene_pki
openssl x509 -in "$KT_TMP/pki/root.pem" -outform DER -out "$KT_TMP/root.der"
{
	[ "$(id -u)" != 0 ] || echo 'user root'
	cat <<-END
		allow_anonymous true
		set_tcp_nodelay true
		listener $PORT 127.0.0.1
		certfile $KT_TMP/pki/broker.pem
		keyfile $KT_TMP/pki/broker.key
		listener $CLAIM_PORT 127.0.0.1
	END
} >"$KT_TMP/plain.conf"
run_bg broker "$KT_BROKER" -c "$KT_TMP/plain.conf"
wait_for_port 10 "$CLAIM_PORT" || fatal "no broker: $(tail -n 5 "$KT_TMP/broker.log")"

# Until the storm is over, or nobody listens any more.
flood() {
	while [ -d "$KT_TMP" ] && [ ! -e "$KT_TMP/over" ] && printf '%s\n' 1 2 3 4 5 2>/dev/null; do
		sleep 0.005
	done | mosquitto_pub -p "$CLAIM_PORT" -t storm -l
}
run_bg flood flood

# Valgrind sees what Paho's own code does with the memory, and where. Not beside the sanitizers.
: >"$KT_TMP/valgrind.log"
WATCH=(valgrind -q --fair-sched=yes --error-exitcode=99 "--log-file=$KT_TMP/valgrind.log")
[ "${#BROKER_BEFORE[@]}" -eq 0 ] || WATCH=()
"${WATCH[@]}" "$KT_BUILD/tests/link_storm" "$PORT" "$KT_TMP/pki/root.pem" "$KT_TMP/root.der" storm 24 >"$KT_TMP/storm.log" 2>&1 </dev/null
check_eq 'connections end and nobody uses what was freed' "$? $(head -n 30 "$KT_TMP/valgrind.log")" '0 '
check_line 'none was lost' "$KT_TMP/storm.log" '^[0-9]+ rounds, [0-9]+ messages, 0 lost$'
check_line 'and messages arrived all the time' "$KT_TMP/storm.log" ' [0-9]{2,} messages'

# It stands in front of a call that the sanitizers stand in front of, too.
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	check 'the one that comes up while the other is thrown out hears what the broker says' \
		"$KT_BUILD/tests/link_kicked" "$PORT" "$CLAIM_PORT" "$KT_TMP/pki/root.pem" "$KT_TMP/root.der" storm
fi
check_reports
: >"$KT_TMP/over"
finish
