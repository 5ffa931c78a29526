#!/bin/bash
# The broker's clock jumps while its certificates have an end: far ahead, and back. It issues none until an
# operator says that the clock is right; who has one stays in session, and then all goes on. With endless
# certificates no clock stops anybody.

# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2317 # functions that wait_for and check call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
# shellcheck source=tests/integration/hub.sh
. "$(dirname "$0")/hub.sh"
make_tmp

scene_pki
[ "${#BROKER_BEFORE[@]}" -eq 0 ] || { # a sanitizer's run-time leaves no room for another clock
	ok 'no other clock under a sanitizer'
	finish
}
scene_operator vera viewer
KEYTURN_LINES+=('certificate_lifetime = 365d' 'superseded_drain = 1s')
scene_write
scene_start

# broker_at WHEN: the broker again, at that time ("": the machine's own)
broker_at() {
	scene_stop
	check_eq 'the broker ends with success' "$?" 0
	rm -f "$KT_TMP/op.sock"
	: >"$KT_TMP/broker.log"
	at_time "$1" || fatal 'there is no libfaketime'
	scene_start "${HUB_BEFORE[@]}"
	at_time ''
}

has_jumped() { # true|false: what `status` says
	command '{"command":"status"}'
	[[ $ANSWER == *"\"clockJumped\":$1"* ]]
}

# is_paused WHAT HUB NEWCOMER: nothing is issued, and nobody is thrown out
is_paused() {
	local what=$1 hub=$2 new=$3 fp code=0
	check "$what: an error says so" wait_for_line 10 "$KT_TMP/broker.log" 'event=clock\.jumped'
	check_eq "$what: once" "$(grep -c 'event=clock\.jumped' "$KT_TMP/broker.log")" 1
	check "$what: status, too" has_jumped true
	start_hub "$hub"
	check "$what: $hub comes in" wait_for 60 is_in_session "$hub"
	check "$what: its programs, too" gets_in "$hub" "$KT_TMP/$hub/state/current/identity.pem"
	fp=$(current_fp "$hub")
	command_ok "$what: a rotation can be ordered" "{\"command\":\"rotate\",\"device\":\"$hub\"}"
	check "$what: but no certificate is issued" wait_for_line 60 "$KT_TMP/broker.log" \
		"event=message\\.refused (.* )?reason=clock\\.jump"
	hub_conf "$new"
	command "{\"command\":\"createDevice\",\"device\":\"$new\"}"
	ticket_for "$new" || fatal "no ticket for $new: $ANSWER"
	check_fails "$what: a new hub gets none" 3 agent "$new" enroll --ticket-file "$KT_TMP/$new/ticket" --wait 2
	check_no_line "$what: none at all" "$KT_TMP/broker.log" 'event=(rotation\.issued|device\.enrolled)'
	check_eq "$what: $hub keeps what it has" "$(current_fp "$hub")" "$fp"
	check "$what: and stays in session, with its rotation open" agent "$hub" status
	mosquitto_rr -h localhost -p "$PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/vera.pem" --key "$KT_TMP/vera.pem" \
		-V 5 -i op:vera -W 10 -q 1 -t '$CONTROL/keyturn/v1' -e '$CONTROL/keyturn/v1/response' \
		-m '{"commands":[{"command":"confirmClock"}]}' >"$KT_TMP/vera.answer" 2>&1 || code=$?
	check_line "$what: a viewer cannot confirm it ($code)" "$KT_TMP/vera.answer" '"error":"denied"'
	check "$what: nothing has changed by that" has_jumped true
}

# goes_on WHAT HUB NEWCOMER GENERATION: confirmed, all that had to wait is done
goes_on() {
	local what=$1 hub=$2 new=$3 promoted
	promoted=$(promoted_count "$hub")
	command_ok "$what: an operator confirms the clock" '{"command":"confirmClock"}'
	check "$what: status says so" has_jumped false
	stop_hub "$hub" # it was told to ask again in an hour, or when it connects
	start_hub "$hub"
	check "$what: the rotation that had to wait is done" wait_for 60 has_promoted "$hub" $((promoted + 1))
	check_eq "$what: it was this one" "$(generation "$hub")" "$4"
	check "$what: and the next" rotate_hub "$hub"
	check "$what: the new certificate gets in" gets_in "$hub" "$KT_TMP/$hub/state/current/identity.pem"
	check "$what: the new hub enrols with the ticket that it has" agent "$new" enroll --ticket-file "$KT_TMP/$new/ticket" --wait 30
	check_eq "$what: nothing has jumped since" "$(grep -c 'event=clock\.jumped' "$KT_TMP/broker.log")" 1
	stop_hub "$hub"
}

enrol_hub hub-1
start_hub hub-1
check 'hub-1 rotates' rotate_hub hub-1
stop_hub hub-1
check_no_line 'no clock has jumped' "$KT_TMP/broker.log" 'event=clock\.jumped'

broker_at +29d
check 'a month is no jump' has_jumped false
start_hub hub-1
check 'hub-1 rotates then' rotate_hub hub-1
stop_hub hub-1

broker_at +61d
is_paused ahead hub-1 hub-2
goes_on ahead hub-1 hub-2 4

broker_at ''
is_paused back hub-1 hub-3
goes_on back hub-1 hub-3 6

# A restart forgets the confirmation, the ledger does not: its newest record is of now
broker_at ''
check 'after a restart the clock is still confirmed' has_jumped false

# Without an end there is nothing that a clock could spoil
KEYTURN_LINES+=('certificate_lifetime = 0')
scene_write
broker_at +100d
check 'endless certificates: nothing has jumped' has_jumped false
start_hub hub-1
check 'endless certificates: hub-1 rotates' rotate_hub hub-1
stop_hub hub-1
check_no_line 'endless certificates: no word of it' "$KT_TMP/broker.log" 'clock\.jump'
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
