# lead.sh - what the benchmarks have in common that are led from Python. To be sourced by run.sh.
# shellcheck shell=bash

# The openssl.cnf of docs/OPERATIONS.md, without session tickets, as $KT_TMP/openssl.cnf.
openssl_conf() {
	[ ! -e "$KT_TMP/openssl.cnf" ] || return 0
	sed -n '/<!-- check: openssl-cnf -->/,/^```$/p' "$KT_ROOT/docs/OPERATIONS.md" | grep -vE '^(<!--|```)' >"$KT_TMP/openssl.cnf"
	grep -q '^NumTickets = 0$' "$KT_TMP/openssl.cnf" || fatal 'docs/OPERATIONS.md has no openssl.cnf'
}

# shipped_broker NAME [COMMAND...]: $KT_TMP/NAME on $PORT, as docs/OPERATIONS.md has it: no session tickets, and what it
# says of malloc; with a socket for operators.
shipped_broker() {
	local name=$1 tunables
	shift
	tunables=$(sed -n 's/^Environment=\(GLIBC_TUNABLES=\)/\1/p' "$KT_ROOT/docs/OPERATIONS.md")
	[ -n "$tunables" ] || fatal 'docs/OPERATIONS.md has no GLIBC_TUNABLES'
	grep -q '^listener 0 ' "$KT_TMP/$name/mosquitto.conf" ||
		echo "listener 0 $KT_TMP/$name/op.sock" >>"$KT_TMP/$name/mosquitto.conf"
	openssl_conf
	start_broker "$name" "$KT_TMP/$name" "$PORT" env "OPENSSL_CONF=$KT_TMP/openssl.cnf" "$tunables" "$@"
}

# keyturn_place NAME DEVICES REAL [LINE...]: a ledger, both configurations and what bench/*.py expect of a place;
# LINEs of keyturn.conf. Its port in $PORT.
keyturn_place() {
	local name=$1 dir=$KT_TMP/$1
	make_fleet "$1" "$2" "$3" || fatal "cannot make a fleet of $2"
	shift 3
	PORT=$(free_port)
	plugin_conf "$dir" 'acl = readwrite devices/%d/#' "$@"
	broker_conf "$dir" "$PORT" false "${LEAD_LOG[@]}" "plugin $KT_BUILD/mosquitto_keyturn.so" \
		"plugin_opt_config $dir/keyturn.conf"
	ln -s ../pki "$dir/pki"
	ln -s "../$name.log" "$dir/broker.log"
}
LEAD_LOG=('log_type error' 'log_type warning' 'log_type notice' 'log_type information')

# bare_place NAME [LINE...]: a broker without a plugin, which lets in whoever shows a certificate of the CA.
bare_place() {
	local name=$1
	shift
	mkdir -p "$KT_TMP/$name"
	PORT=$(free_port)
	broker_conf "$KT_TMP/$name" "$PORT" true 'log_type error' 'log_type warning' "$@"
}

# lead NAME PLACE PORT [ARG...]: bench/NAME.py at that place; its checks are counted here, its document printed.
lead() {
	local name=$1 place=$2 port=$3
	shift 3
	run_led "$name" "$KT_TMP/$name.out" "$KT_TMP/$name.err" \
		env "KT_TMP=$KT_TMP/$place" "PORT=$port" TD=bench.test PYTHONDONTWRITEBYTECODE=1 \
		"PYTHONPATH=$KT_ROOT/tests/integration/probe:$KT_ROOT/tests/fleet" setpriv --pdeathsig KILL \
		/usr/bin/python3 -B "$KT_ROOT/tests/bench/$name.py" --top "$KT_TMP" --build "$KT_BUILD" "$@"
	if [ "$JSON" = 1 ] && [ -s "$KT_TMP/$name.json" ]; then
		cat "$KT_TMP/$name.json"
	fi
}
