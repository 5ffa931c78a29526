#!/usr/bin/env bash
# Benchmarks, each against a baseline in the same run.
#
#   tests/bench/run.sh connect [--devices N,N...] [--rounds N] [--json] [--broker PATH]
#   tests/bench/run.sh registry [--devices N,N...] [--clients N,N...] [--rounds N] [--json] [--broker PATH]
#   tests/bench/run.sh agent [--idle S] [--rotations N] [--rounds N] [--json] [--broker PATH]
#   tests/bench/run.sh revoke|supersede|expire [--sessions N] [--count N] [--json] [--broker PATH]
#   tests/bench/run.sh abuse [--json] [--broker PATH]
#   tests/bench/run.sh all [--only NAME,NAME...] [--quick] [--json] [--broker PATH]
#   tests/bench/run.sh rotation [--hubs N] [--rounds N] [--json] [--broker PATH]
#   tests/bench/run.sh scale [--hubs N] [--rounds N] [--json] [--broker PATH]
#   tests/bench/run.sh stall [--hubs N] [--rounds N] [--devices N] [--count N] [--json] [--broker PATH]
#
# connect: the broker's instructions (callgrind) and processor time per mTLS connect, TLS 1.3, full and resumed,
# with N registered devices (10, 1,000, 100,000, 1,000,000), against no plugin, dynamic-security with 10,000
# clients, and a crlfile of 1,000; and the shipped settings against a stock broker.
# registry: start, memory, size, and what a command costs, with N devices (1,000 to 1,000,000), against a bare
# read of the same rows, fdatasync and SQLite alone, and dynamic-security with N clients (1,000 to 50,000).
# agent: size, memory, wake-ups over S idle seconds (60), and what a rotation costs, against mosquitto_sub and
# certmonger. Needs root.
# revoke, supersede, expire: how long a session outlives its right, with N sessions live (one after the
# other 1, 1,000 and 5,000), over COUNT devices (1,000), against a bare kick, one fdatasync and the
# broker's own tick.
# abuse: 300 refused connects a second, 900 idle and 500 half-handshaken connections, and floods of requests
# and JSON, while 100 hubs rotate: none of them fails, and uninvolved clients, the broker's CPU and memory
# against a bare broker under the same load.
# all: one after the other, each result also as build/bench/NAME.json, for docs/performance.sh. --quick: so small
# that its figures say nothing, to see whether all of them work.
# rotation: the broker's processor time and instructions for each rotation of N hubs (1,000), in rounds (3), against
# the floor that the cryptography sets, bare connects, and cfssl with dynamic-security at 10,000 clients.
# stall: what uninvolved clients notice, and how long the plugin holds the loop, while N hubs (1,000) rotate, COUNT
# requests come in one moment, a backup is made, the broker starts over N devices (100,000); against as many bare connects.
# scale: what a hub costs, connecting, idle, challenged and rotated, while a fleet grows to N hubs (10,000).
# Ends with "N passed, N failed": failed counts ratios, never milliseconds. tests/README.md says more.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/bench/ends.sh
. "$(dirname "$0")/ends.sh"
# shellcheck source=tests/bench/abuse.sh
. "$(dirname "$0")/abuse.sh"
# shellcheck source=tests/bench/play.sh
. "$(dirname "$0")/play.sh"
# shellcheck source=tests/bench/cost.sh
. "$(dirname "$0")/cost.sh"
# shellcheck source=tests/bench/all.sh
. "$(dirname "$0")/all.sh"
# shellcheck source=tests/bench/lead.sh
. "$(dirname "$0")/lead.sh"
# shellcheck source=tests/bench/rotation.sh
. "$(dirname "$0")/rotation.sh"
# shellcheck source=tests/bench/stall.sh
. "$(dirname "$0")/stall.sh"
# shellcheck source=tests/bench/scale.sh
. "$(dirname "$0")/scale.sh"

JSON=0
WHAT=
COUNT=1000
SESSIONS=(1 1000 5000)
HUBS='' ROUNDS='' DEVICES='' # empty: the benchmark's own
SIZES=()                     # other options of those in cost.sh
QUICK=0
ONLY=
# What there is, in the order of "all".
BENCHMARKS=(connect rotation stall registry agent revoke supersede expire scale abuse)

usage() {
	sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

is_number() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }

is_numbers() { [[ $1 =~ ^[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*$ ]]; }
is_benchmark() { [[ " ${BENCHMARKS[*]} " == *" $1 "* ]]; }

while [ $# -gt 0 ]; do
	case $1 in
	--json) JSON=1 ;;
	--broker)
		[ $# -ge 2 ] || usage
		KT_BROKER=$2
		shift
		;;
	--sessions)
		is_number "${2-}" || usage
		SESSIONS=("$2")
		shift
		;;
	--count)
		is_number "${2-}" || usage
		COUNT=$2
		shift
		;;
	--hubs)
		is_number "${2-}" || usage
		HUBS=$2
		shift
		;;
	--devices)
		is_numbers "${2-}" || usage
		DEVICES=$2
		shift
		;;
	--rounds)
		is_number "${2-}" || usage
		ROUNDS=$2
		shift
		;;
	--clients | --commands | --groups | --connects | --cpu-connects | --revoked | --idle | --rotations)
		is_numbers "${2-}" || usage
		SIZES+=("$1" "$2")
		shift
		;;
	--only)
		[ $# -ge 2 ] || usage
		ONLY=$2
		shift
		;;
	--quick) QUICK=1 ;;
	all) WHAT=all ;;
	[a-z]*)
		is_benchmark "$1" || usage
		WHAT=$1
		;;
	*) usage ;;
	esac
	shift
done
[ -n "$WHAT" ] || usage
if [ "$QUICK" = 1 ] && [ "$WHAT" != all ]; then
	quick_sizes "$WHAT"
fi

# With --json stdout has two lines, the document and the counts; the story goes to stderr then.
TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a / b }'; }

make_pki() {
	"$KT_PKI" init "$KT_TMP/pki" --trust-domain bench.test >"$KT_TMP/pki.log" 2>&1 &&
		"$KT_PKI" broker "$KT_TMP/pki" --name localhost,127.0.0.1,198.18.0.1 >>"$KT_TMP/pki.log" 2>&1
}

# make_fleet NAME DEVICES REAL [FORM...]: $KT_TMP/NAME/{ledger,state,identities}
make_fleet() {
	local dir=$KT_TMP/$1 devices=$2 real=$3
	shift 3
	mkdir -p "$dir/identities" && chmod 700 "$dir" &&
		"$KT_BUILD/tests/bench_fleet" "$dir/ledger" bench.test "$KT_TMP/pki/issuing.pem" \
			"$KT_TMP/pki/issuing.key" "$dir/identities" "$devices" "$real" "$@" >"$dir/fleet.log"
}

# What a broker writes down that many connect to.
CONNECT_LOG=('log_type error' 'log_type warning' 'log_type notice')

# broker_conf DIR PORT ALLOW_ANONYMOUS [LINE...]: LINEs stand before the listener
broker_conf() {
	local dir=$1 port=$2 anonymous=$3
	shift 3
	{
		echo "per_listener_settings false"
		echo "allow_anonymous $anonymous"
		echo "persistence false"
		echo "sys_interval 0"
		echo "log_dest stderr"
		echo "set_tcp_nodelay true"
		echo "max_packet_size 262144"
		echo "check_retain_source true"
		[ "$(id -u)" != 0 ] || echo "user root"
		[ $# -eq 0 ] || printf '%s\n' "$@"
		echo "listener $port 127.0.0.1"
		echo "cafile $KT_TMP/pki/clients.pem"
		echo "certfile $KT_TMP/pki/broker.pem"
		echo "keyfile $KT_TMP/pki/broker.key"
		echo "require_certificate true"
	} >"$dir/mosquitto.conf"
}

plugin_conf() { # DIR [LINE...]
	local dir=$1
	shift
	{
		cat <<-END
			trust_domain = bench.test
			state_dir = $dir/state
			ledger_dir = $dir/ledger
			root_cert = $KT_TMP/pki/root.pem
			issuer_cert = $KT_TMP/pki/issuing.pem
			issuer_key = $KT_TMP/pki/issuing.key
			controller_cert = $KT_TMP/pki/controller-1.pem
			controller_key = $KT_TMP/pki/controller-1.key
			operator = unix:$dir/op.sock admin
		END
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$dir/keyturn.conf"
	chmod 600 "$dir/keyturn.conf"
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

install_packages
build_preset dev >&2
make_tmp
make_pki || fatal "keyturn-pki failed: $(tail -n 3 "$KT_TMP/pki.log")"
"bench_$WHAT"
finish
