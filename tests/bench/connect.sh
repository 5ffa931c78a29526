# connect.sh - the broker's instructions per mTLS connect. To be sourced by run.sh.
# shellcheck shell=bash

CONNECT_REAL=10
CONNECT_WARM=20
CONNECT_COUNT=100
CONNECT_LIMIT_PERCENT=102
CONNECT_LOG=('log_type error' 'log_type warning' 'log_type notice')

# measure NAME DIR IDENTITIES: sets IR, instructions per connect.
measure() {
	local name=$1 dir=$2 identities=$3 port pid total
	port=$(sed -n 's/^listener \([0-9]*\) .*/\1/p' "$dir/mosquitto.conf")
	start_broker "$name" "$dir" "$port" valgrind --tool=callgrind --instr-atstart=no \
		--callgrind-out-file="$KT_TMP/$name.callgrind" --quiet
	pid=$BG_PID
	callgrind_control --instr=on "$pid" >/dev/null 2>&1 || fatal "callgrind does not answer"
	"$KT_BUILD/tests/bench_connect" "$port" "$identities" "$CONNECT_REAL" "$CONNECT_WARM" >"$KT_TMP/$name.warm" ||
		fatal "$name: not every warm-up connect was accepted"
	callgrind_control --zero "$pid" >/dev/null 2>&1
	"$KT_BUILD/tests/bench_connect" "$port" "$identities" "$CONNECT_REAL" "$CONNECT_COUNT" >"$KT_TMP/$name.run" ||
		fatal "$name: not every connect was accepted"
	callgrind_control --dump=measured "$pid" >/dev/null 2>&1
	stop_pid "$pid" 60
	total=$(grep -h -A100000 'Trigger: .*measured' "$KT_TMP/$name.callgrind"* |
		sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' | head -n 1)
	[ -n "$total" ] || fatal "$name: no figure from callgrind"
	IR=$((total / CONNECT_COUNT))
}

# with_plugin DEVICES: sets IR.
with_plugin() {
	local dir=$KT_TMP/$1 port
	make_fleet "$1" "$1" "$CONNECT_REAL" || fatal "cannot make a fleet of $1"
	port=$(free_port)
	plugin_conf "$dir"
	broker_conf "$dir" "$port" false "${CONNECT_LOG[@]}" "plugin $KT_BUILD/mosquitto_keyturn.so" \
		"plugin_opt_config $dir/keyturn.conf"
	# once at full speed, so that the index stands and callgrind need not watch its making
	start_broker "start-$1" "$dir" "$port"
	stop_pid "$BG_PID" 30
	measure "plugin-$1" "$dir" "$dir/identities"
}

bench_connect() {
	local base ir10 ir100k
	mkdir -p "$KT_TMP/plain"
	# without a plugin nobody but the TLS layer asks who it is: the cheapest there is
	broker_conf "$KT_TMP/plain" "$(free_port)" true "${CONNECT_LOG[@]}"
	with_plugin 10
	ir10=$IR
	measure plain "$KT_TMP/plain" "$KT_TMP/10/identities"
	base=$IR
	with_plugin 100000
	ir100k=$IR
	report_connect "$base" "$ir10" "$ir100k"
}

report_connect() { # BASE IR10 IR100K
	local r10 r100k
	r10=$(ratio "$2" "$1")
	r100k=$(ratio "$3" "$1")
	tell "connect: broker instructions per mTLS connect (TLS 1.3, full handshake, $CONNECT_COUNT connects each)"
	tell "$(printf '  %-36s %12d  ratio %s' 'no plugin (any certificate of the CA)' "$1" 1)"
	tell "$(printf '  %-36s %12d  ratio %s' 'Keyturn, 10 registered devices' "$2" "$r10")"
	tell "$(printf '  %-36s %12d  ratio %s' 'Keyturn, 100000 registered devices' "$3" "$r100k")"
	check_ratio 'connect, 10 devices: ratio at most 1.02' "$2" "$1"
	check_ratio 'connect, 100000 devices: ratio at most 1.02' "$3" "$1"
	if [ "$JSON" = 1 ]; then
		printf '{"benchmark":"connect","unit":"instructions","connects":%d,"baseline":%d,' \
			"$CONNECT_COUNT" "$1"
		printf '"devices10":%d,"ratio10":%s,"devices100000":%d,"ratio100000":%s}\n' \
			"$2" "$r10" "$3" "$r100k"
	fi
}

check_ratio() { # NAME VALUE BASE
	if [ $(($2 * 100)) -le $(($3 * CONNECT_LIMIT_PERCENT)) ]; then
		ok "$1" >&"$TALK"
	else
		not_ok "$1" "$(ratio "$2" "$3")" >&"$TALK"
	fi
}
