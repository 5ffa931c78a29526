#!/bin/bash
# The ways back: a hub restored from an old image, one that slept past its key's age or past its
# certificate's end. It is refused or told to rotate, destroys nothing, never gives up, and comes back by
# itself, by a ticket or by an approval.

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2317 # functions that wait_for and check call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
# shellcheck source=tests/integration/hub.sh
. "$(dirname "$0")/hub.sh"
make_tmp

scene_pki
KEYTURN_LINES+=('superseded_drain = 1s')
scene_write
scene_start

# restore_old_image HUB: it runs, its disk is copied, it rotates twice, the copy takes its place
restore_old_image() {
	local hub=$1
	start_hub "$hub"
	check "$hub is in session" wait_for 60 is_in_session "$hub"
	stop_hub "$hub"
	cp -a "$KT_TMP/$hub/state" "$KT_TMP/$hub/image"
	start_hub "$hub"
	check "$hub rotates" rotate_hub "$hub"
	check 'and again' rotate_hub "$hub"
	stop_hub "$hub"
	rm -rf "$KT_TMP/$hub/state"
	mv "$KT_TMP/$hub/image" "$KT_TMP/$hub/state"
}

# --- an old image, by ticket ---------------------------------------------------------------------------

enrol_hub hub-r
restore_old_image hub-r
disk=$(disk_of hub-r)
: >"$KT_TMP/hub-r.log"
start_hub hub-r
check 'the superseded key is refused' wait_for_line 60 "$KT_TMP/broker.log" \
	'event=client\.refused .*reason=cert\.superseded .*device=hub-r'
check 'and is an alarm: the hub had said that it is gone' wait_for_line 60 "$KT_TMP/broker.log" \
	'event=clone\.alarmed device=hub-r .*reason=cert\.superseded'
check 'the hub tries on' wait_for_lines 20 "$KT_TMP/hub-r.log" 'event=link\.refused link=agent' 3
check 'and lives' is_running "${HUB_PID[hub-r]}"
check_eq 'and has touched nothing' "$(disk_of hub-r)" "$disk"
check_fails 'status says that it is out' 1 agent hub-r status
check_line 'and why' <(echo "$KT_OUT") 'last refusal +refused:agent'
check_fails 'enroll beside a running agent' 1 agent hub-r enroll --ticket-file "$KT_TMP/hub-r/ticket"
check_line 'says so' <(echo "$KT_OUT") 'another agent uses'
stop_hub hub-r
check_fails 'the ticket that was used is no request' 1 agent hub-r enroll --ticket-file "$KT_TMP/hub-r/ticket"
check_line 'it is who it was' <(echo "$KT_OUT") 'this hub is hub-r already'
hub_conf hub-q
ticket_for hub-q
check_fails "another hub's ticket" 1 agent hub-r enroll --ticket-file "$KT_TMP/hub-q/ticket"
check_line 'is not for it' <(echo "$KT_OUT") 'the ticket is for hub-q, but this hub is hub-r'
check_eq 'nothing is touched by all that' "$(disk_of hub-r)" "$disk"

# A ticket that the server does not know: refused, and the old identity is still there
ticket_for hub-r
/usr/bin/python3 - "$KT_TMP/hub-r/ticket" >"$KT_TMP/hub-r/wrong" <<'END'
import base64, json, os, sys
head, body = open(sys.argv[1]).read().strip().split(".")
ticket = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
ticket["secret"] = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
text = json.dumps(ticket, separators=(",", ":")).encode()
print(head + "." + base64.urlsafe_b64encode(text).decode().rstrip("="))
END
chmod 600 "$KT_TMP/hub-r/wrong"
old=$(current_fp hub-r)
check_fails 'a wrong ticket enrols nobody' 3 agent hub-r enroll --ticket-file "$KT_TMP/hub-r/wrong" --wait 3
check_line 'it is refused' "$KT_TMP/broker.log" 'event=enroll\.refused .*reason=ticket\.unknown'
check_eq 'and costs nothing' "$(current_fp hub-r)" "$old"
start_hub hub-r
check 'the hub goes on with the old one' wait_for_line 60 "$KT_TMP/hub-r.log" 'event=link\.refused link=agent'
stop_hub hub-r

# With a new ticket, killed at every change of its disk on the way
deaths=0
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then # the sanitizers' search for leaks cannot be traced
	for n in 1 3 5 8 11 14 17 20 23 26 29; do
		run_bg deaths strace -D -f -o "$KT_TMP/strace.out" -e trace=fsync,rename,unlink,mkdir,rmdir \
			-e "inject=fsync,rename,unlink,mkdir,rmdir:signal=KILL:when=$n" \
			"$AGENT" enroll -c "$KT_TMP/hub-r/agent.conf" --ticket-file "$KT_TMP/hub-r/ticket" --wait 20
		wait_for_exit 30 "$BG_PID"
		[ $? -ne 137 ] || deaths=$((deaths + 1))
		[ -s "$KT_TMP/hub-r/state/current/identity.pem" ] || not_ok "death $n leaves an identity"
		! grep -q 'hub-r is enrolled' "$KT_TMP/deaths.log" || break
	done
	check "it was killed $deaths times" test "$deaths" -gt 3
fi
grep -q 'hub-r is enrolled' "$KT_TMP/deaths.log" 2>/dev/null ||
	check 'a new ticket brings it back' agent hub-r enroll --ticket-file "$KT_TMP/hub-r/ticket" --wait 30
start_hub hub-r
check 'hub-r is in session' wait_for 60 is_in_session hub-r
check_eq 'in the next generation' "$(generation hub-r)" 4
check 'with another key' test "$(current_fp hub-r)" != "$old"
check_eq 'and no other' "$(find "$KT_TMP/hub-r/state/identity" -name key.pem | wc -l)" 1
check 'its certificate gets in' gets_in hub-r "$KT_TMP/hub-r/state/current/identity.pem"
check 'it rotates as any other' rotate_hub hub-r
check_no_line 'no second key was offered, and nothing frozen' "$KT_TMP/broker.log" 'event=rotation\.frozen|reason=key\.second'
stop_hub hub-r

# --- an old image, by approval ---------------------------------------------------------------------------

claim_conf=("trust_domain = $TD" "root_cert = $KT_TMP/pki/root.pem" "claim_identity = $KT_TMP/claim.pem")

# enrol_by_approval HUB COMMAND...: what it waits for is approved
enrol_by_approval() {
	local hub=$1 key_id
	shift
	: >"$KT_TMP/$hub-enroll.log"
	run_bg "$hub-enroll" "$@"
	check 'it waits for an operator' wait_for_line 60 "$KT_TMP/$hub-enroll.log" 'the key to approve is [0-9a-f]{64}$'
	key_id=$(grep -oE '[0-9a-f]{64}$' "$KT_TMP/$hub-enroll.log" | tail -n 1)
	check 'who sees the same key' wait_for_line 60 "$KT_TMP/broker.log" "event=device\\.waiting key=$key_id"
	command_ok "and approves it" "{\"command\":\"approve\",\"keyId\":\"$key_id\",\"device\":\"$hub\"}"
	check "$hub is enrolled" wait_for_line 60 "$KT_TMP/$hub-enroll.log" "^$hub is enrolled"
}

hub_conf hub-p "${claim_conf[@]}" 'device = hub-p'
enrol_by_approval hub-p "$AGENT" enroll -c "$KT_TMP/hub-p/agent.conf" --wait 40
restore_old_image hub-p
check_fails 'a claim certificate alone is no request' 1 agent hub-p enroll
check_line 'the hub is left alone' <(echo "$KT_OUT") 'this hub is hub-p already'
old=$(current_fp hub-p)
check_fails 'nobody approves' 3 agent hub-p enroll --again --wait 2
check_line 'the key is shown' <(echo "$KT_OUT") 'the key to approve is [0-9a-f]{64}'
shown=$(grep -oE '[0-9a-f]{64}' <<<"$KT_OUT" | head -n 1)
check_eq 'and stands' "$(agent hub-p key-id)" "$shown"
check_eq 'the old identity is kept' "$(current_fp hub-p)" "$old"
enrol_by_approval hub-p "$AGENT" enroll -c "$KT_TMP/hub-p/agent.conf" --wait 40
start_hub hub-p
check 'hub-p is in session' wait_for 60 is_in_session hub-p
check_eq 'in the next generation' "$(generation hub-p)" 4
check_eq 'with one key' "$(find "$KT_TMP/hub-p/state/identity" -name key.pem | wc -l)" 1
stop_hub hub-p

# --- revoked by mistake ------------------------------------------------------------------------------------

command_ok 'hub-p is revoked' '{"command":"revoke","device":"hub-p","emergency":true}'
ticket_for hub-p
sed -i '/^claim_identity/d' "$KT_TMP/hub-p/agent.conf"
check 'a ticket brings it back' agent hub-p enroll --ticket-file "$KT_TMP/hub-p/ticket" --wait 30
start_hub hub-p
check 'hub-p is in session again' wait_for 60 is_in_session hub-p
stop_hub hub-p

# --- asleep past a finite certificate's end ------------------------------------------------------------------

# broker_at WHEN LINE...: the broker again, at that time
broker_at() {
	local when=$1
	shift
	scene_stop
	check_eq 'the broker ends with success' "$?" 0
	rm -f "$KT_TMP/op.sock"
	KEYTURN_LINES+=("$@")
	scene_write
	at_time "$when" || fatal 'there is no libfaketime'
	scene_start "${HUB_BEFORE[@]}"
	at_time ''
}

if [ "${#BROKER_BEFORE[@]}" -gt 0 ]; then # nor can a clock be put in front of them
	scene_stop
	finish
fi

broker_at '' 'certificate_lifetime = 7d'
enrol_hub hub-e
hub_conf hub-f "${claim_conf[@]}" 'device = hub-f'
enrol_by_approval hub-f "$AGENT" enroll -c "$KT_TMP/hub-f/agent.conf" --wait 40
broker_at +10d
: >"$KT_TMP/hub-e.log"
start_hub hub-e
check 'past its end it is refused' wait_for_lines 20 "$KT_TMP/hub-e.log" 'event=link\.refused link=agent' 2
check 'in the broker'\''s TLS' grep -q 'certificate verify failed' "$KT_TMP/broker.log"
stop_hub hub-e
ticket_for hub-e
check 'a ticket brings it back' agent hub-e enroll --ticket-file "$KT_TMP/hub-e/ticket" --wait 30
start_hub hub-e
check 'hub-e is in session' wait_for 60 is_in_session hub-e
stop_hub hub-e
enrol_by_approval hub-f "$AGENT" enroll -c "$KT_TMP/hub-f/agent.conf" --again --wait 40
start_hub hub-f
check 'an approval, too: hub-f is in session' wait_for 60 is_in_session hub-f
stop_hub hub-f

# --- asleep past its key's age -----------------------------------------------------------------------------

promoted=$(promoted_count hub-r)
old=$(current_fp hub-r)
broker_at +12d 'max_key_age = 1d'
start_hub hub-r
check 'it gets a session that can only rotate' wait_for_line 60 "$KT_TMP/broker.log" \
	'event=session\.started (.* )?client=hub-r:agent .*rotate_only=yes'
check 'and rotates by itself' wait_for 60 has_promoted hub-r $((promoted + 1))
check 'to a new key' test "$(current_fp hub-r)" != "$old"
check 'its session is a full one' wait_for 60 is_in_session hub-r
check_eq 'one rotation was enough' "$(generation hub-r)" 6
check 'the next certificate gets in' gets_in hub-r "$KT_TMP/hub-r/state/current/identity.pem"
check_eq 'and there is no other order' "$(grep -c 'event=rotation\.opened device=hub-r' "$KT_TMP/broker.log")" 4
stop_hub hub-r
check_no_line 'the clock has jumped for nobody' "$KT_TMP/broker.log" 'event=clock\.jumped'
check_no_line 'nothing private in any log' <(cat "$KT_TMP"/*.log) 'PRIVATE KEY'
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
