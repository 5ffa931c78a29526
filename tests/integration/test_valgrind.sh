#!/bin/bash
# A hub's whole life under memcheck, broker with the plugin and agent each: enrolled, rotated twice, challenged,
# the broker told to reload, revoked; every process started anew in between. No error, and nothing lost.
# With --long, or by its name: it takes minutes.

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
# shellcheck source=tests/integration/hub.sh
. "$(dirname "$0")/hub.sh"
make_tmp
[ "${#BROKER_BEFORE[@]}" -eq 0 ] || fatal 'memcheck and the sanitizers cannot be in one process'

# Debug information outlives dlclose: a report of the plugin names its lines.
MEMCHECK=(valgrind --quiet --tool=memcheck --leak-check=full "--show-leak-kinds=definite,indirect"
	"--errors-for-leak-kinds=definite,indirect" --track-fds=no --keep-debuginfo=yes --num-callers=30
	--child-silent-after-fork=yes --error-exitcode=99 "--log-file=$KT_TMP/memcheck.%p")

# reports WHAT: of the processes that have ended since it was last asked: none has one
COUNT=0
reports() {
	local log bad=''
	for log in "$KT_TMP"/memcheck.*; do
		[ -e "$log" ] || continue
		COUNT=$((COUNT + 1))
		bad+=$(grep '^==' "$log" | head -n 60) # other lines: system calls that this valgrind does not know
		rm "$log"
	done
	check_eq "$1: memcheck reports nothing" "$bad" ''
}

scene_pki
KEYTURN_LINES+=('superseded_drain = 1s' "crl_file = $KT_TMP/fleet.crl")
scene_write
scene_start "${MEMCHECK[@]}"
HUB_BEFORE=("${MEMCHECK[@]}")

enrol_hub hub-v "hook = /bin/touch $KT_TMP/hub-v/reloaded"
enrol_hub hub-w
start_hub hub-v
check 'hub-v comes into session' wait_for 60 is_in_session hub-v
command_ok 'a challenge is sent' '{"command":"challenge","device":"hub-v"}'
check 'and answered' wait_for_line 60 "$KT_TMP/broker.log" 'event=challenge\.answered device=hub-v'
check 'it rotates' rotate_hub hub-v
check_eq 'generation 2' "$(generation hub-v)" 2
kill -HUP "$BROKER"
check 'the broker reads its configuration again' wait_for_line 60 "$KT_TMP/broker.log" 'event=plugin\.reloaded'
stop_hub hub-v
check_eq 'the agent ends with success' "$?" 0
scene_stop
check_eq 'the broker ends with success' "$?" 0
reports 'enrolled and rotated'

# what lies on disk is read again: record, keys, ledger, index
scene_start "${MEMCHECK[@]}"
start_hub hub-v
start_hub hub-w
check 'hub-v comes into session again' wait_for 60 is_in_session hub-v
check 'hub-w comes into session' wait_for 60 is_in_session hub-w
check 'hub-v rotates again' rotate_hub hub-v
check_eq 'generation 3' "$(generation hub-v)" 3
command_ok 'hub-v is revoked with notice' '{"command":"revoke","device":"hub-v"}'
check 'it is told' wait_for_line 60 "$KT_TMP/hub-v.log" 'event=link\.(down|refused) link=agent'
check 'and does not come back' wait_for_line 60 "$KT_TMP/hub-v.log" 'event=link\.refused link=agent'
command_ok 'hub-w is revoked at once' '{"command":"revoke","device":"hub-w","emergency":true}'
check 'nor does hub-w' wait_for_line 60 "$KT_TMP/hub-w.log" 'event=link\.refused link=agent'
check 'the revocation list is written' wait_for_line 60 "$KT_TMP/broker.log" 'event=crl\.written .*entries=[1-9]'
stop_hub hub-v
check_eq 'the agent ends with success' "$?" 0
stop_hub hub-w
check_eq 'and the other' "$?" 0
scene_stop
check_eq 'the broker ends with success' "$?" 0
reports 'rotated and revoked'
check 'memcheck has watched them all' test "$COUNT" -ge 7
finish
