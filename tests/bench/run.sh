#!/usr/bin/env bash
# Benchmarks, each against a baseline in the same run.
#
#   tests/bench/run.sh connect [--json] [--broker PATH]
#
# connect: the broker's instructions (callgrind) per mTLS connect, TLS 1.3 full handshake, without the
# plugin and with it at 10 and at 100,000 registered devices. Ratio at most 1.02 at both.
# Counted from start to end of a hundred connects, everything that the broker does in that time, its
# threads and ticks too; start-up and the first connects are not in it. Ends with "N passed, N failed":
# failed counts ratios, never milliseconds.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

REAL=10
WARM=20
CONNECTS=100
LIMIT_PERCENT=102
JSON=0
WHAT=

usage() {
	sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--json) JSON=1 ;;
	--broker)
		[ $# -ge 2 ] || usage
		KT_BROKER=$2
		shift
		;;
	connect) WHAT=connect ;;
	*) usage ;;
	esac
	shift
done
[ -n "$WHAT" ] || usage

# With --json stdout has two lines, the document and the counts; the story goes to stderr then.
TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

make_pki() {
	"$KT_PKI" init "$KT_TMP/pki" --trust-domain bench.test >"$KT_TMP/pki.log" 2>&1 &&
		"$KT_PKI" broker "$KT_TMP/pki" --name localhost,127.0.0.1 >>"$KT_TMP/pki.log" 2>&1
}

# make_fleet DEVICES: $KT_TMP/DEVICES/{ledger,state,identities}
make_fleet() {
	local dir=$KT_TMP/$1
	mkdir -p "$dir/identities" && chmod 700 "$dir" &&
		"$KT_BUILD/tests/bench_fleet" "$dir/ledger" bench.test "$KT_TMP/pki/issuing.pem" \
			"$KT_TMP/pki/issuing.key" "$dir/identities" "$1" "$REAL" >"$dir/fleet.log"
}

# broker_conf DIR PORT [PLUGIN_CONF]
broker_conf() {
	{
		echo "per_listener_settings false"
		# without a plugin nobody but the TLS layer asks who it is: the cheapest there is
		echo "allow_anonymous $([ -n "${3-}" ] && echo false || echo true)"
		echo "persistence false"
		echo "sys_interval 0"
		echo "log_dest stderr"
		echo "log_type error"
		echo "log_type warning"
		echo "log_type notice"
		echo "set_tcp_nodelay true"
		echo "max_packet_size 262144"
		echo "check_retain_source true"
		[ "$(id -u)" != 0 ] || echo "user root"
		if [ -n "${3-}" ]; then
			echo "plugin $KT_BUILD/mosquitto_keyturn.so"
			echo "plugin_opt_config $3"
		fi
		echo "listener $2 127.0.0.1"
		echo "cafile $KT_TMP/pki/clients.pem"
		echo "certfile $KT_TMP/pki/broker.pem"
		echo "keyfile $KT_TMP/pki/broker.key"
		echo "require_certificate true"
	} >"$1/mosquitto.conf"
}

plugin_conf() { # DIR
	cat >"$1/keyturn.conf" <<-END
		trust_domain = bench.test
		state_dir = $1/state
		ledger_dir = $1/ledger
		root_cert = $KT_TMP/pki/root.pem
		issuer_cert = $KT_TMP/pki/issuing.pem
		issuer_key = $KT_TMP/pki/issuing.key
		controller_cert = $KT_TMP/pki/controller-1.pem
		controller_key = $KT_TMP/pki/controller-1.key
		operator = unix:$1/op.sock admin
	END
	chmod 600 "$1/keyturn.conf"
}

is_up_or_gone() { is_listening "$1" || is_gone "$2"; } # PORT PID

# start_broker NAME DIR PORT COMMAND...: waits until it listens.
start_broker() {
	local name=$1 dir=$2 port=$3
	shift 3
	run_bg "$name" "$@" "$KT_BROKER" -c "$dir/mosquitto.conf"
	wait_for 180 is_up_or_gone "$port" "$BG_PID"
	is_listening "$port" || {
		tail -n 20 "$KT_TMP/$name.log" >&2
		fatal "$name: the broker does not start"
	}
}

# measure NAME DIR IDENTITIES: sets IR, instructions per connect.
measure() {
	local name=$1 dir=$2 identities=$3 port pid total
	port=$(sed -n 's/^listener \([0-9]*\) .*/\1/p' "$dir/mosquitto.conf")
	start_broker "$name" "$dir" "$port" valgrind --tool=callgrind --instr-atstart=no \
		--callgrind-out-file="$KT_TMP/$name.callgrind" --quiet
	pid=$BG_PID
	callgrind_control --instr=on "$pid" >/dev/null 2>&1 || fatal "callgrind does not answer"
	"$KT_BUILD/tests/bench_connect" "$port" "$identities" "$REAL" "$WARM" >"$KT_TMP/$name.warm" ||
		fatal "$name: not every warm-up connect was accepted"
	callgrind_control --zero "$pid" >/dev/null 2>&1
	"$KT_BUILD/tests/bench_connect" "$port" "$identities" "$REAL" "$CONNECTS" >"$KT_TMP/$name.run" ||
		fatal "$name: not every connect was accepted"
	callgrind_control --dump=measured "$pid" >/dev/null 2>&1
	stop_pid "$pid" 60
	total=$(grep -h -A100000 'Trigger: .*measured' "$KT_TMP/$name.callgrind"* |
		sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' | head -n 1)
	[ -n "$total" ] || fatal "$name: no figure from callgrind"
	IR=$((total / CONNECTS))
}

# with_plugin DEVICES: sets IR.
with_plugin() {
	local dir=$KT_TMP/$1 port
	make_fleet "$1" || fatal "cannot make a fleet of $1"
	port=$(free_port)
	plugin_conf "$dir"
	broker_conf "$dir" "$port" "$dir/keyturn.conf"
	# once at full speed, so that the index stands and callgrind need not watch its making
	start_broker "start-$1" "$dir" "$port"
	stop_pid "$BG_PID" 30
	measure "plugin-$1" "$dir" "$dir/identities"
}

bench_connect() {
	local base ir10 ir100k
	make_pki || fatal "keyturn-pki failed: $(tail -n 3 "$KT_TMP/pki.log")"
	mkdir -p "$KT_TMP/plain"
	broker_conf "$KT_TMP/plain" "$(free_port)"
	with_plugin 10
	ir10=$IR
	measure plain "$KT_TMP/plain" "$KT_TMP/10/identities"
	base=$IR
	with_plugin 100000
	ir100k=$IR
	report_connect "$base" "$ir10" "$ir100k"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a / b }'; }

report_connect() { # BASE IR10 IR100K
	local r10 r100k
	r10=$(ratio "$2" "$1")
	r100k=$(ratio "$3" "$1")
	tell "connect: broker instructions per mTLS connect (TLS 1.3, full handshake, $CONNECTS connects each)"
	tell "$(printf '  %-36s %12d  ratio %s' 'no plugin (any certificate of the CA)' "$1" 1)"
	tell "$(printf '  %-36s %12d  ratio %s' 'Keyturn, 10 registered devices' "$2" "$r10")"
	tell "$(printf '  %-36s %12d  ratio %s' 'Keyturn, 100000 registered devices' "$3" "$r100k")"
	check_ratio 'connect, 10 devices: ratio at most 1.02' "$2" "$1"
	check_ratio 'connect, 100000 devices: ratio at most 1.02' "$3" "$1"
	if [ "$JSON" = 1 ]; then
		printf '{"benchmark":"connect","unit":"instructions","connects":%d,"baseline":%d,' \
			"$CONNECTS" "$1"
		printf '"devices10":%d,"ratio10":%s,"devices100000":%d,"ratio100000":%s}\n' \
			"$2" "$r10" "$3" "$r100k"
	fi
}

check_ratio() { # NAME VALUE BASE
	if [ $(($2 * 100)) -le $(($3 * LIMIT_PERCENT)) ]; then
		ok "$1" >&"$TALK"
	else
		not_ok "$1" "$(ratio "$2" "$3")" >&"$TALK"
	fi
}

install_packages
build_preset dev >&2
make_tmp
"bench_$WHAT"
finish
