#!/bin/bash
# Signs of a second holder: none of what an honest hub does is one, each that is one is told once, by its
# name, and quarantines only where its policy says so. And challenges by themselves, and what silence means.

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
# shellcheck source=tests/integration/hub.sh
. "$KT_ROOT/tests/integration/hub.sh"
CTL=$KT_BUILD/keyturnctl
[ -x "$CTL" ] || fatal "keyturnctl is not built in $KT_BUILD"

QUARANTINE=('clone_second_key = quarantine' 'clone_contended = quarantine' 'clone_old_answer = quarantine'
	'clone_op_range = quarantine')
scene_pki

fresh() { rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock"; }
signs() { grep -cE 'event=(clone\.alarmed|clone\.suspected|session\.contended|device\.quarantined)' "$KT_TMP/broker.log"; }
# silent NAME: no sign in all of the broker's log, whatever the restarts in it
silent() {
	check_eq "$1: no sign of a clone" "$(signs)" 0
	[ "$(signs)" = 0 ] || grep -E 'event=(clone|session\.contended|device\.quarantined)' "$KT_TMP/broker.log" | sed 's/^/    /'
}

kill_hub() { # it is gone, with its lock, before another one starts
	kill -KILL "${HUB_PID[$1]}"
	wait_for_exit 10 "${HUB_PID[$1]}"
}
# What the last minutes were about, if something of them failed.
show_logs() {
	[ "$KT_FAILED" -gt 0 ] || return 0
	grep event= "$KT_TMP/broker.log" | tail -n 60 | sed 's/^/    broker: /'
	tail -n 30 "$KT_TMP/hub-1.log" | sed 's/^/    hub: /'
}

# --- a real hub, and all that may happen to it, with every policy on and challenges all the while

KEYTURN_LINES=("${QUARANTINE[@]}" 'superseded_drain = 1s' 'challenge_timeout = 10s' 'challenge_every = 11s'
	'challenge_silence = quarantine')
scene_write
scene_start
enrol_hub hub-1
start_hub hub-1
check 'hub-1 is in session' wait_for 20 is_in_session hub-1
check 'and has promoted what it enrolled with' wait_for 20 has_promoted hub-1 1
check 'it rotates, by a trial beside its session' rotate_hub hub-1
silent 'a trial'
for _ in 1 2 3; do
	before=$(grep -c 'event=plugin\.reloaded' "$KT_TMP/broker.log")
	kill -HUP "$BROKER"
	wait_for_lines 10 "$KT_TMP/broker.log" 'event=plugin\.reloaded' $((before + 1)) || fatal 'no SIGHUP'
done
check 'it rotates once more' rotate_hub hub-1
silent 'SIGHUP'
kill_hub hub-1
start_hub hub-1
check 'hub-1 comes back after a kill' wait_for 20 is_in_session hub-1
check 'and rotates' rotate_hub hub-1
command '{"command":"rotate","device":"hub-1"}'
kill_hub hub-1
start_hub hub-1
check 'it is killed in a rotation, and ends it' wait_for 60 has_promoted hub-1 5
silent 'a restart of the hub'
kill -KILL "$BROKER"
wait_for_exit 10 "$BROKER"
scene_start
check 'hub-1 comes back to a broker that was killed' wait_for 30 is_in_session hub-1
check 'and rotates' rotate_hub hub-1
command '{"command":"rotate","device":"hub-1"}'
kill -KILL "$BROKER"
wait_for_exit 10 "$BROKER"
scene_start
check 'the broker is killed in a rotation, which goes on' wait_for 60 has_promoted hub-1 7
silent 'a restart of the broker'
answered=$(grep -c 'event=challenge\.answered device=hub-1' "$KT_TMP/broker.log")
check 'it was challenged all the while' wait_for_lines 30 "$KT_TMP/broker.log" \
	'event=challenge\.answered device=hub-1' $((answered + 1))
silent 'challenges'

# --- the registry of a backup

offline() { "$CTL" --config "$KT_TMP/keyturn.conf" "$@"; }
check 'a backup is made' offline backup "$KT_TMP/backup"
HEAD=$(offline audit verify "$KT_TMP/backup" | sed -n 's/^head  *//p')
check 'and hub-1 rotates after it' rotate_hub hub-1
scene_stop
cp "$KT_TMP/backup/ledger.kt" "$KT_TMP/ledger/ledger.kt"
check 'the older ledger is accepted' offline restore --accept-rollback "$HEAD" --note lost
scene_start
check 'hub-1 is adopted' wait_for_line 60 "$KT_TMP/broker.log" 'event=device\.adopted device=hub-1'
check 'and rotated by itself' wait_for 60 has_promoted hub-1 9
check 'it is in session' wait_for 20 is_in_session hub-1
silent 'a restored registry'
show_logs
stop_hub hub-1
scene_stop
fresh
rm "$KT_TMP/broker.log"

# --- hubs that can misbehave

KEYTURN_LINES=('superseded_drain = 1s')
scene_write
probe "$KT_ROOT/tests/integration/clones.py" report
fresh
KEYTURN_LINES=("${QUARANTINE[@]}" 'superseded_drain = 1s' 'message_burst = 100')
scene_write
probe "$KT_ROOT/tests/integration/clones.py" quarantine
for silence in report quarantine disconnect; do
	fresh
	KEYTURN_LINES=('challenge_timeout = 4s' 'challenge_every = 8s' "challenge_silence = $silence")
	scene_write
	probe "$KT_ROOT/tests/integration/clones.py" "silence-$silence"
done
finish
