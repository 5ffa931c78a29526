# abuse.sh - what refused, idle and flooding clients cost those who mind their own business. To be sourced
# by run.sh.
#
# Three brokers: Keyturn; a bare one that knows another CA, and refuses in TLS; a bare one that knows the CA,
# and refuses the CONNECT. bench/abuse.py makes the load, in rounds, at one after the other.
# shellcheck shell=bash

ABUSE_HUBS=100
ABUSE_ROGUES=4 # beside them, and one device more, of which two clients mind their own business
ABUSE_STRANGERS=10
ABUSE_ROUNDS=${ABUSE_ROUNDS:-3}
ABUSE_SECONDS=${ABUSE_SECONDS:-15}

# abuse_identities NAME PKI DEVICES: $KT_TMP/NAME/identities, and a ledger that fits
abuse_identities() {
	mkdir -p "$KT_TMP/$1/identities"
	chmod 700 "$KT_TMP/$1"
	"$KT_BUILD/tests/bench_fleet" "$KT_TMP/$1/ledger" bench.test "$KT_TMP/$2/issuing.pem" \
		"$KT_TMP/$2/issuing.key" "$KT_TMP/$1/identities" "$3" "$3" >"$KT_TMP/$1.log" ||
		fatal "no identities: $(tail -n 3 "$KT_TMP/$1.log")"
}

bench_abuse() {
	local all=$((ABUSE_HUBS + 1 + ABUSE_ROGUES)) keyturn_port keyturn_pid tls_port tls_pid connect_port connect_pid
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	abuse_identities keyturn pki "$all"
	abuse_identities strangers pki "$ABUSE_STRANGERS"
	{
		"$KT_PKI" init "$KT_TMP/pki2" --trust-domain bench.test &&
			"$KT_PKI" broker "$KT_TMP/pki2" --name localhost,127.0.0.1
	} >"$KT_TMP/pki2.log" 2>&1 || fatal "keyturn-pki failed: $(tail -n 3 "$KT_TMP/pki2.log")"
	abuse_identities other pki2 "$all"

	keyturn_port=$(free_port) PORT=$keyturn_port
	plugin_conf "$KT_TMP/keyturn" 'acl = readwrite devices/%d/#' 'pending_give_up = 1h'
	broker_conf "$KT_TMP/keyturn" "$PORT" false "${CONNECT_LOG[@]}" 'log_type information' \
		"plugin $KT_BUILD/mosquitto_keyturn.so" "plugin_opt_config $KT_TMP/keyturn/keyturn.conf"
	shipped_broker keyturn
	keyturn_pid=$BG_PID
	mkdir -p "$KT_TMP/tls" "$KT_TMP/connect"
	tls_port=$(free_port) PORT=$tls_port
	broker_conf "$KT_TMP/tls" "$PORT" true "${CONNECT_LOG[@]}" 'log_type information'
	sed -i "s#$KT_TMP/pki/clients#$KT_TMP/pki2/clients#" "$KT_TMP/tls/mosquitto.conf"
	shipped_broker tls
	tls_pid=$BG_PID
	connect_port=$(free_port) PORT=$connect_port
	broker_conf "$KT_TMP/connect" "$PORT" true "${CONNECT_LOG[@]}" 'log_type information' \
		"clientid_prefixes bench-${ABUSE_HUBS%?}" # bench-10: of the device behind the hubs, and of the rogues
	shipped_broker connect
	connect_pid=$BG_PID
	ln -s ../pki "$KT_TMP/keyturn/pki"
	ln -s ../keyturn.log "$KT_TMP/keyturn/broker.log"

	lead abuse keyturn "$keyturn_port" --hubs "$ABUSE_HUBS" --rogues "$ABUSE_ROGUES" --strangers "$ABUSE_STRANGERS" \
		--rounds "$ABUSE_ROUNDS" --seconds "$ABUSE_SECONDS" --keyturn "$keyturn_pid:$keyturn_port" \
		--tls "$tls_pid:$tls_port" --connect "$connect_pid:$connect_port"
	for BG_PID in "$tls_pid" "$connect_pid" "$keyturn_pid"; do
		stop_pid "$BG_PID" 60 || not_ok 'a broker ends as it should' "$(tail -n 5 "$KT_TMP/keyturn.log")" >&"$TALK"
	done
}
