# rotation.sh - what a rotation costs the broker. To be sourced by run.sh.
#
# Keyturn with the fleet and one real hub; a bare broker; Keyturn under callgrind with a few hubs; and the peer, cfssl
# and a broker with dynamic-security. bench/rotation.py leads.
# shellcheck shell=bash
# shellcheck disable=SC2153 # HUBS, ROUNDS: run.sh's

ROTATION_HUBS=1000
ROTATION_ROUNDS=3
ROTATION_AGENT=11     # rotations of the real hub
ROTATION_GRIND_HUBS=8 # under callgrind
ROTATION_PEERS=20     # hubs that the peer moves, each round
ROTATION_CLIENTS=10000
ROTATION_ARGS=()

bench_rotation() {
	local keyturn bare grind pid pids=()
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	rotation_grind
	grind=$BG_PID:$PORT pids+=("$BG_PID")
	bare_place bare
	shipped_broker bare
	bare=$BG_PID:$PORT pids+=("$BG_PID")
	rotation_peer
	rotation_keyturn "${HUBS:-$ROTATION_HUBS}"
	keyturn=$BG_PID:$PORT pids+=("$BG_PID")
	lead rotation keyturn "$PORT" --hubs "${HUBS:-$ROTATION_HUBS}" --rounds "${ROUNDS:-$ROTATION_ROUNDS}" \
		--agent-rotations "$ROTATION_AGENT" --peers "$ROTATION_PEERS" --grind-hubs "$ROTATION_GRIND_HUBS" \
		--keyturn "$keyturn" --bare "$bare" --grind "$grind" --agent "$KT_TMP/agent" "${ROTATION_ARGS[@]}"
	for pid in "${pids[@]}"; do
		stop_pid "$pid" 60 || not_ok 'a broker ends as it should' "$(tail -n 5 "$KT_TMP/keyturn.log")" >&"$TALK"
	done
}

# With a listener for the real hub, which enrols by a ticket.
rotation_keyturn() { # HUBS
	local claim_port
	claim_port=$(free_port)
	keyturn_place keyturn "$1" "$1" "broker_address = localhost:$claim_port"
	cat >>"$KT_TMP/keyturn/mosquitto.conf" <<-END
		listener $claim_port 127.0.0.1
		certfile $KT_TMP/pki/broker.pem
		keyfile $KT_TMP/pki/broker.key
	END
	shipped_broker keyturn
	wait_for_socket 60 "$KT_TMP/keyturn/op.sock" || fatal 'no socket for operators'
	mkdir -m 700 "$KT_TMP/agent"
	cat >"$KT_TMP/agent/agent.conf" <<-END
		broker = localhost:$PORT
		state_dir = $KT_TMP/agent/state
		ticket_file = $KT_TMP/agent/ticket
	END
	chmod 600 "$KT_TMP/agent/agent.conf"
}

rotation_grind() {
	keyturn_place grind "$ROTATION_GRIND_HUBS" "$ROTATION_GRIND_HUBS"
	shipped_broker grind valgrind --tool=callgrind --separate-threads=yes --instr-atstart=no --quiet \
		"--callgrind-out-file=$KT_TMP/grind.callgrind"
	wait_for_socket 60 "$KT_TMP/grind/op.sock" || fatal 'no socket for operators'
}

# What Debian has of the peer: not every release has cfssl, and then it is left out, which the report says.
rotation_peer() {
	local dir=$KT_TMP/peer admin_port cfssl_port peer
	if ! command -v cfssl >/dev/null && apt-cache show golang-cfssl >/dev/null 2>&1; then
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends golang-cfssl \
			>"$KT_TMP/cfssl.log" 2>&1 </dev/null || tell "$(tail -n 3 "$KT_TMP/cfssl.log")"
	fi
	command -v cfssl >/dev/null || return 0
	mkdir -m 700 "$dir"
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/integration/probe:$KT_ROOT/tests/bench /usr/bin/python3 -B -c \
		'import sys, peer; peer.write_config(sys.argv[1], int(sys.argv[2])); peer.write_cfssl_config(sys.argv[3])' \
		"$dir/dynamic-security.json" "$ROTATION_CLIENTS" "$dir/cfssl.json" || fatal 'no configuration for the peer'
	admin_port=$(free_port)
	PORT=$(free_port)
	broker_conf "$dir" "$PORT" false 'log_type error' 'log_type warning' "plugin $(dynamic_security)" \
		"plugin_opt_config_file $dir/dynamic-security.json"
	printf '%s\n' 'use_identity_as_username true' "listener $admin_port 127.0.0.1" >>"$dir/mosquitto.conf"
	openssl_conf
	start_broker peer "$dir" "$PORT" env "OPENSSL_CONF=$KT_TMP/openssl.cnf"
	wait_for_port 60 "$admin_port" || fatal "dynamic-security's broker does not listen"
	peer=$BG_PID:$PORT pids+=("$BG_PID")
	cfssl_port=$(free_port)
	run_bg cfssl env GOMAXPROCS=1 cfssl serve -address 127.0.0.1 -port "$cfssl_port" -ca "$KT_TMP/pki/issuing.pem" \
		-ca-key "$KT_TMP/pki/issuing.key" -config "$dir/cfssl.json" -loglevel 4
	wait_for_port 60 "$cfssl_port" || fatal "cfssl does not listen: $(tail -n 3 "$KT_TMP/cfssl.log")"
	ROTATION_ARGS=(--peer "$peer" --admin-port "$admin_port" --cfssl "$BG_PID:$cfssl_port")
}

dynamic_security() {
	find /usr/lib -name mosquitto_dynamic_security.so -print -quit
}
