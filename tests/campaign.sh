#!/usr/bin/env bash
# A campaign over simulated hubs on a real broker, looked at at every step.
#
#   tests/campaign.sh [--hubs N] [--failing PERCENT] [--kill] [--registered N] [--json] [--broker PATH]
#
# N hubs (200) are rotated by a campaign: canaries, waves of a quarter, a hundred under way at most. Healthy, it ends with
# every hub in session on generation 2. --failing: so many of them have a full disk, and the campaign has to abort at
# its threshold within one wave. --kill: the broker is killed (SIGKILL) twice on the way. --registered: so many further devices
# stand in the registry and never come; a second campaign means all of them. Without --kill two uninvolved
# clients exchange messages all the time, and the plugin's longest call of the broker's loop is measured. Ends with "N passed, N failed". With --json stdout has two lines, the document and the
# counts. KT_KEEP=1 leaves logs and ledger there.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/integration/scene.sh"

HUBS=200 REGISTERED=0 JSON=0
OPTIONS=()

usage() {
	sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# number VALUE MIN MAX: prints it
number() {
	if ! [[ $1 =~ ^[0-9]{1,7}$ ]] || [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
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
	--kill)
		OPTIONS+=(--kill)
		shift
		continue
		;;
	--hubs) HUBS=$(number "${2-}" 10 100000) || exit 2 ;;
	--registered) REGISTERED=$(number "${2-}" 1 1000000) || exit 2 ;;
	--failing)
		SHARE=$(number "${2-}" 3 100) || exit 2
		OPTIONS+=(--failing "$SHARE")
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
[[ " ${OPTIONS[*]} " != *' --kill '* ]] || [ "${#OPTIONS[@]}" -eq 1 ] || usage
[[ " ${OPTIONS[*]} " != *' --kill '* ]] || [ "$REGISTERED" = 0 ] || usage

TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

install_packages >&2 || fatal 'packages are missing'
if [ "$KT_BUILD" = "$KT_ROOT/build/dev" ]; then
	build_preset dev mosquitto_keyturn keyturn-fleet bench_fleet bench_pair bench_hold >&2 || fatal 'it does not build'
fi
make_tmp

# Hub i is bench-i, with an identity; so is the device of the two clients. The rest have none.
make_ledger() {
	mkdir -p "$KT_TMP/identities" || return 1
	"$KT_BUILD/tests/bench_fleet" "$KT_TMP/ledger" "$TD" "$KT_TMP/pki/issuing.pem" "$KT_TMP/pki/issuing.key" \
		"$KT_TMP/identities" $((HUBS + 1 + REGISTERED)) $((HUBS + 1)) >"$KT_TMP/ledger.log" 2>&1
}

scene_pki
make_ledger || fatal "no ledger: $(tail -n 3 "$KT_TMP/ledger.log")"
ulimit -n "$(ulimit -Hn)" 2>/dev/null # the broker inherits it: a session is a descriptor
scene_write
sed -i 's/^log_type all$/log_type error\nlog_type warning\nlog_type notice\nlog_type information/' "$KT_TMP/mosquitto.conf"

run_led 'the campaign' "$KT_TMP/campaign.log" "$KT_TMP/campaign.err" \
	env "PYTHONPATH=$KT_ROOT/tests/integration/probe:$KT_ROOT/tests/fleet" PYTHONDONTWRITEBYTECODE=1 \
	setpriv --pdeathsig KILL /usr/bin/python3 -B "$KT_ROOT/tests/fleet/campaign.py" --hubs "$HUBS" \
	--registered "$REGISTERED" "${OPTIONS[@]}" --build "$KT_BUILD" --document "$KT_TMP/document.json"
[ -s "$KT_TMP/document.json" ] || tell "$(tail -n 20 "$KT_TMP/broker.log")"
[ "$JSON" = 0 ] || [ ! -s "$KT_TMP/document.json" ] || cat "$KT_TMP/document.json"
finish
