#!/usr/bin/env bash
# A fleet of simulated hubs against a real broker with the plugin: what it takes, and whether all come through.
#
#   tests/fleet.sh [--hubs N] [--scenario enrol|hold|rotate|storm] [--seconds S] [--at-a-time N]
#                  [--offline SHARE] [--slow SHARE] [--lost SHARE] [--clone SHARE] [--json] [--broker PATH]
#
# hold: N hubs (200) that have enrolled long ago connect, stay for S seconds (5), and answer a challenge each.
# rotate: they connect, an operator orders a rotation of all of them, and they roll over. enrol: they enrol by
# ticket. storm: they connect, lose all connections in one moment and come back at once. As many processes of
# keyturn-fleet as the limit of descriptors asks for, and one for each processor if there are enough hubs; each has
# at most N hubs at a time (--at-a-time, 8) in the middle of something.
# SHAREs are percent of the hubs: offline until the others are through; slow to think; losing some of what the
# broker says, with the connection; copied before they roll over (rotate alone), the copies come at the end. Ends with
# "N passed, N failed": a check counts hubs, alarms and refusals, never milliseconds. With --json stdout has two
# lines, the document and the counts. KT_KEEP=1 leaves logs and ledger there.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/integration/scene.sh"

HUBS=200 SCENARIO=hold SECONDS_HELD=5 AT_A_TIME=8 JSON=0
HABITS=()
DRAIN_S=1 # of a run with copies: until then a copy could be a program of the hub

usage() {
	sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# number VALUE MIN MAX: prints it
number() {
	if ! [[ $1 =~ ^[0-9]{1,6}$ ]] || [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
		usage
	fi
	printf '%s\n' "$1"
}

while [ $# -gt 0 ]; do
	case $1 in
	--json)
		JSON=1
		shift
		continue
		;;
	--hubs) HUBS=$(number "${2-}" 1 100000) || exit 2 ;;
	--seconds) SECONDS_HELD=$(number "${2-}" 0 86400) || exit 2 ;;
	--at-a-time) AT_A_TIME=$(number "${2-}" 1 100000) || exit 2 ;;
	--scenario)
		case ${2-} in
		enrol | hold | rotate | storm) SCENARIO=$2 ;;
		*) usage ;;
		esac
		;;
	--offline | --slow | --lost | --clone)
		SHARE=$(number "${2-}" 1 100) || exit 2
		HABITS+=("$1" "$SHARE")
		;;
	--broker)
		if [ ! -f "${2-}" ] || [ ! -x "$2" ]; then
			say "--broker '${2-}': not a program" >&2
			exit 2
		fi
		KT_BROKER=$(realpath -e -- "$2")
		;;
	*) usage ;;
	esac
	shift 2
done

[[ " ${HABITS[*]} " != *' --clone '* ]] || [ "$SCENARIO" = rotate ] || usage

TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

FLEET=$KT_BUILD/tests/keyturn-fleet
install_packages >&2 || fatal 'packages are missing'
if [ "$KT_BUILD" = "$KT_ROOT/build/dev" ]; then
	build_preset dev mosquitto_keyturn keyturnctl keyturn-fleet bench_fleet >&2 || fatal 'it does not build'
fi
make_tmp

# Hub i is bench-i, with an identity.
make_ledger() {
	mkdir -p "$KT_TMP/identities" || return 1
	"$KT_BUILD/tests/bench_fleet" "$KT_TMP/ledger" "$TD" "$KT_TMP/pki/issuing.pem" "$KT_TMP/pki/issuing.key" \
		"$KT_TMP/identities" "$HUBS" "$HUBS" >"$KT_TMP/ledger.log" 2>&1
}

scene_pki
if [ "$SCENARIO" != enrol ]; then
	make_ledger || fatal "no ledger: $(tail -n 3 "$KT_TMP/ledger.log")"
fi
[[ " ${HABITS[*]} " != *' --clone '* ]] || KEYTURN_LINES+=("superseded_drain = ${DRAIN_S}s")
ulimit -n "$(ulimit -Hn)" 2>/dev/null # the broker inherits it: a session is a descriptor
scene_write
sed -i 's/^log_type all$/log_type error\nlog_type warning\nlog_type notice\nlog_type information/' "$KT_TMP/mosquitto.conf"
scene_start setpriv --pdeathsig KILL

OPTIONS=(--hubs "$HUBS" --scenario "$SCENARIO" --seconds "$SECONDS_HELD" --at-a-time "$AT_A_TIME"
	--broker-pid "$BROKER" --program "$FLEET" --ctl "$KT_BUILD/keyturnctl" --drain "$DRAIN_S" "${HABITS[@]}")
run_led 'the fleet' "$KT_TMP/drive.log" "$KT_TMP/drive.err" \
	env "PYTHONPATH=$KT_ROOT/tests/integration/probe" PYTHONDONTWRITEBYTECODE=1 setpriv --pdeathsig KILL \
	/usr/bin/python3 -B "$KT_ROOT/tests/fleet/drive.py" "${OPTIONS[@]}" --document "$KT_TMP/document.json"
[ -s "$KT_TMP/document.json" ] || tell "$(tail -n 20 "$KT_TMP/broker.log")"
scene_stop >&"$TALK" || not_ok 'the broker ends as it should' "$(tail -n 5 "$KT_TMP/broker.log")" >&"$TALK"
[ "$JSON" = 0 ] || [ ! -s "$KT_TMP/document.json" ] || cat "$KT_TMP/document.json"
finish
