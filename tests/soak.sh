#!/usr/bin/env bash
# The soak with an oracle: a fleet of real agents rotates on a real broker while everything dies that can,
# and an independent checker reads afterwards what happened.
#
#   tests/soak.sh [--minutes N] [--hubs N] [--seed N] [--json]
#
# 200 hubs (processes of keyturn-agent), each rotated every ten seconds, for N minutes (2) beside a beginning and
# an end without faults. The broker is killed every 30 s, a hub each second, every tenth of them with loss of what
# it had not synced; hubs are revoked and copied; the index is lost and rolled back. Ends with "N passed, N
# failed": a check is a rule of tests/soak/check_history.py. With --json stdout has two lines, the document and
# the counts. KT_KEEP=1 leaves the history there; KT_SOAK_OUT=DIR copies it to DIR.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/integration/scene.sh"

MINUTES=2 HUBS=200 SEED=${KT_SEED:-1} JSON=0

usage() {
	sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# number VALUE MIN MAX: prints it
number() {
	if ! [[ $1 =~ ^[0-9]{1,5}$ ]] || [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
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
	--minutes) MINUTES=$(number "${2-}" 1 1440) || exit 2 ;;
	--hubs) HUBS=$(number "${2-}" 50 1000) || exit 2 ;;
	--seed) SEED=$(number "${2-}" 0 99999) || exit 2 ;;
	*) usage ;;
	esac
	shift 2
done

TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

export PYTHONPATH=$KT_ROOT/tests/soak:$KT_ROOT/tests/integration/probe PYTHONDONTWRITEBYTECODE=1

# Hundreds of agents sync thousands of times a minute. What a sync promises is judged from powercut.c's note and
# not from the disk, so that memory will do.
[ -n "${TMPDIR-}" ] || ! mountpoint -q /dev/shm || TMPDIR=/dev/shm
make_tmp
for file in keyturn-agent mosquitto_keyturn.so tests/soak_powercut.so; do
	[ -e "$KT_BUILD/$file" ] || build_preset dev keyturn-agent mosquitto_keyturn soak_powercut || fatal "not built: $file"
done
scene_pki
export KT_SOAK_DRAIN_S=2
KEYTURN_LINES+=("superseded_drain = ${KT_SOAK_DRAIN_S}s" 'promote_overdue = 10s' 'op_deadline = 60s' 'challenge_timeout = 3s' 'workers = 2')
scene_write
sed -i 's/^log_type all$/log_type error\nlog_type warning\nlog_type notice\nlog_type information/' "$KT_TMP/mosquitto.conf"

tell "# KT_SEED=$SEED, $HUBS hubs, $MINUTES minutes"
# As a child that is waited for, so that a signal to this script is handled at once.
/usr/bin/python3 -B "$KT_ROOT/tests/soak/soak.py" "$MINUTES" "$SEED" "$HUBS" </dev/null >"$KT_TMP/soak.log" 2>&1 &
KT_PIDS+=($!)
wait $!
CODE=$?
forget_pid $!
tell "$(cat "$KT_TMP/soak.log")"
if [ "$CODE" -ne 0 ]; then
	tell "$(tail -n 5 "$KT_TMP/broker.log")"
	tell "not ok the soak ran to its end (exit $CODE)"
	KT_FAILED=$((KT_FAILED + 1))
fi

OPTIONS=()
[ "$JSON" = 0 ] || OPTIONS=(--json)
/usr/bin/python3 -B "$KT_ROOT/tests/soak/check_history.py" "${OPTIONS[@]}" "$KT_TMP/history.jsonl" "$KT_TMP/ledger/ledger.kt" \
	>"$KT_TMP/check.log"
CODE=$?
LAST=$(tail -n 1 "$KT_TMP/check.log")
if [[ $LAST =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
	sed '$d' "$KT_TMP/check.log"
	KT_PASSED=$((KT_PASSED + BASH_REMATCH[1])) KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
else
	tell "not ok the checker ran to its end (exit $CODE)"
	KT_FAILED=$((KT_FAILED + 1))
fi
if [ -n "${KT_SOAK_OUT-}" ]; then
	mkdir -p "$KT_SOAK_OUT" &&
		cp "$KT_TMP/history.jsonl" "$KT_TMP/ledger/ledger.kt" "$KT_TMP/broker.log" "$KT_TMP/soak.log" "$KT_SOAK_OUT"
fi
finish
