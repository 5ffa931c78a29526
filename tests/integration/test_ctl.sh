#!/bin/bash
# Does keyturnctl do with a real broker what its manual says: over the socket and over TLS, with what
# exit code, and whatever the plugin, the broker or the disk answers?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

CTL=$KT_BUILD/keyturnctl
[ -x "$CTL" ] || fatal "keyturnctl is not built in $KT_BUILD"
scene_pki
scene_operator alice admin
scene_operator vera viewer
KEYTURN_LINES+=('challenge_timeout = 2s')
scene_write
scene_start
KEY_ID=$(printf 'ab%.0s' {1..32})

ctl() { "$CTL" --unix "$KT_TMP/op.sock" "$@"; }
VERA=("$CTL" --host localhost --port "$PORT" --cafile "$KT_TMP/pki/root.pem"
	--cert "$KT_TMP/pki/operator-vera.pem" --key "$KT_TMP/pki/operator-vera.key")
over_tls() { # NAME ARG...
	local name=$1
	shift
	"$CTL" --host localhost --port "$PORT" --cafile "$KT_TMP/pki/root.pem" \
		--cert "$KT_TMP/pki/operator-$name.pem" --key "$KT_TMP/pki/operator-$name.key" "$@"
}
# says NAME EXIT_CODE TEXT COMMAND...: exit code, and a line of its output that matches
says() {
	local name=$1 code=$2 text=$3
	shift 3
	if [ "$code" = 0 ]; then
		check "$name" "$@"
		KT_OUT=$("$@" 2>&1 </dev/null)
	else
		check_fails "$name" "$code" "$@"
	fi
	check_line "$name: says so" <(printf '%s\n' "$KT_OUT") "$text"
}
once() { # NAME EXIT_CODE TEXT COMMAND...: the same for what can be done once
	local name=$1 code=$2 text=$3 got=0
	shift 3
	KT_OUT=$("$@" 2>&1 </dev/null) || got=$?
	check_eq "$name" "$got" "$code"
	check_line "$name: says so" <(printf '%s\n' "$KT_OUT") "$text"
}

# --- no broker needed ------------------------------------------------------------------------------------

check 'help' "$CTL" --help
check 'help of a command' "$CTL" rotate --help
says 'version' 0 '^keyturnctl [0-9]' "$CTL" --version
says 'no command' 2 'which command' "$CTL"
says 'an unknown command' 2 "there is no command 'explode'" "$CTL" explode
says 'an unknown option' 2 'no option' "$CTL" list --frob
says 'an option of another command' 2 'list does not take --wipe' "$CTL" list --wipe
says 'a device id that is none' 2 'is no device id' ctl show 'a b'
says 'a key id that is none' 2 'is no key id' ctl deny abc
says 'a device twice' 2 'named twice' ctl rotate hub-1 hub-1
says 'all without how many' 2 'needs --expect' ctl rotate --all
says 'a revoke that nobody confirms' 2 'give --yes' ctl revoke hub-1
says 'TLS without its files' 2 'needs --cafile' "$CTL" --host localhost list
says 'both ways at once' 2 'not both' "$CTL" --unix /x --host localhost list
says 'nobody there' 3 'No such file' "$CTL" --unix "$KT_TMP/nobody" list
says 'a closed port' 3 'localhost: ' "$CTL" --host localhost --port "$(free_port)" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" \
	--key "$KT_TMP/pki/operator-alice.key" list
says 'a key file that is not there' 3 "$KT_TMP/none: No such file" "$CTL" --host localhost --port "$PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" --key "$KT_TMP/none" list
run_bg silent /usr/bin/python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX); s.bind('$KT_TMP/silent'); s.listen(4); time.sleep(60)"
wait_for_socket 5 "$KT_TMP/silent"
says 'somebody who says nothing' 3 'nothing within 1 s' "$CTL" --unix "$KT_TMP/silent" --timeout 1s list
QUIET=$(free_port)
FULL=$(free_port)
run_bg quiet /usr/bin/python3 -c "
import socket, time
quiet = socket.create_server(('127.0.0.1', $QUIET), backlog=4)
full = socket.create_server(('127.0.0.1', $FULL), backlog=0)
waiting = [socket.socket() for _ in range(4)]
for s in waiting:  # until the kernel answers nobody any more
    s.setblocking(False)
    s.connect_ex(('127.0.0.1', $FULL))
print('full', flush=True)
time.sleep(60)"
check 'two who are not there for us' wait_for_line 5 "$KT_TMP/quiet.log" '^full$'
says 'no TLS from the other side' 3 '^keyturnctl: 127\.0\.0\.1: nothing within 1 s$' \
	timeout 10 "$CTL" --host 127.0.0.1 --port "$QUIET" --cafile "$KT_TMP/pki/root.pem" \
	--cert "$KT_TMP/pki/operator-alice.pem" --key "$KT_TMP/pki/operator-alice.key" --timeout 1s list
says 'no TCP, either' 3 '^keyturnctl: 127\.0\.0\.1: nothing within 1 s$' \
	timeout 10 "$CTL" --host 127.0.0.1 --port "$FULL" --cafile "$KT_TMP/pki/root.pem" \
	--cert "$KT_TMP/pki/operator-alice.pem" --key "$KT_TMP/pki/operator-alice.key" --timeout 1s list
RESET=$(free_port)
run_bg reset /usr/bin/python3 -c "
import socket, struct
server = socket.create_server(('127.0.0.1', $RESET), backlog=4)
while True:
    client, _ = server.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.close()"
wait_for_port 5 "$RESET"
for _ in 1 2 3; do # what it looks like depends on who is faster
	says 'somebody who breaks off' 3 'ended before TLS|eof while reading|reset by peer|hung up' \
		timeout 10 "$CTL" --host 127.0.0.1 --port "$RESET" --cafile "$KT_TMP/pki/root.pem" \
		--cert "$KT_TMP/pki/operator-alice.pem" --key "$KT_TMP/pki/operator-alice.key" --timeout 60s list
done
printf 'listener 0 %s\nallow_anonymous true\npersistence false\n%s\n' "$KT_TMP/plain.sock" \
	"$([ "$(id -u)" != 0 ] || echo 'user root')" >"$KT_TMP/plain.conf"
run_bg plain "$KT_BROKER" -c "$KT_TMP/plain.conf"
wait_for_socket 10 "$KT_TMP/plain.sock"
code=4 # nothing comes
[ -z "$ANSWERS_FOR_NOBODY" ] || code=3
says 'a broker without the plugin' "$code" 'Does the broker load the plugin' \
	"$CTL" --unix "$KT_TMP/plain.sock" --timeout 1s revoke hub-1 --yes

# --- devices, tickets, keys ----------------------------------------------------------------------------------

run_bg events "$CTL" --unix "$KT_TMP/op.sock" events --follow
EVENTS=$BG_PID
check 'a watcher subscribes' wait_for_line 10 "$KT_TMP/broker.log" 'keyturn/v1/events/# \(QoS'
once 'a device is created' 0 '^hub-1: created$' ctl create-device hub-1 --group north
once 'not twice' 1 '^keyturnctl: hub-1: exists' ctl create-device hub-1
once 'nor in other letters' 1 'HUB-1: exists' ctl create-device HUB-1
check 'the watcher sees it' wait_for_line 10 "$KT_TMP/events.log" 'device\.created device=hub-1'
once 'with a registered key' 0 '^hub-2: created$' ctl create-device hub-2 --key-id "$KEY_ID"
once 'one key for two' 1 'key.known' ctl create-device hub-3 --key-id "$KEY_ID"
says 'show' 0 '^group +north$' ctl show hub-1
says 'show as JSON' 0 '^\{"device":"hub-1","group":"north","state":"new"' ctl --json show hub-1
says 'an unknown device' 1 'hub-9: not_found|not.found' ctl show hub-9
says 'an error as JSON' 1 '^\{"error":"' ctl --json show hub-9
ticket=$(ctl create-ticket hub-1 --raw 2>"$KT_TMP/raw.err")
check_eq 'a ticket alone on the output' "$(grep -c '^keyturn-ticket-1\.' <<<"$ticket")" 1
check_eq 'and nothing beside it' "$(cat "$KT_TMP/raw.err")" ''
says 'a ticket with a word about it' 0 'usable once, until 20' ctl create-ticket hub-1 --valid-for 1h
says 'a ticket for a group' 0 '^keyturn-ticket-1\.' ctl create-ticket --group north --pattern 'n-*'
says 'a group without a pattern' 2 'a device, or --group and --pattern' ctl create-ticket --group north
check_fails 'a ticket that cannot be written down' 6 bash -c "'$CTL' --unix '$KT_TMP/op.sock' create-ticket hub-1 --raw >/dev/full"
check_no_line 'no ticket in the broker'"'"'s log' "$KT_TMP/broker.log" 'keyturn-ticket-1'
says 'nobody waits' 0 '^KEY ID' ctl pending
says 'an approval of nobody' 1 '^keyturnctl: hub-4: ' ctl approve "$KEY_ID" hub-4
once 'a key is refused for good' 0 ': denied$' ctl deny "$(printf 'cd%.0s' {1..32})"
says 'a device that is not active cannot rotate' 1 'hub-1: state' ctl rotate hub-1
says 'or be challenged' 1 'hub-1: state' ctl challenge hub-1
says 'a challenge that could not be sent is no outcome' 1 'hub-1: state' ctl challenge hub-1 --wait
says 'nothing to cancel' 1 'hub-1: state' ctl cancel hub-1
says 'no freeze to end' 1 'hub-1: state' ctl release hub-1 --freeze
says 'the clock is confirmed' 0 'the clock is confirmed' ctl confirm-clock

# --- batches -----------------------------------------------------------------------------------------------------

once 'half a batch' 1 '^hub-1: quarantined$' ctl quarantine hub-1 hub-8 hub-2 --note 'a look'
check_line 'names who failed' <(printf '%s\n' "$KT_OUT") '^keyturnctl: hub-8: '
check_line 'and does the rest' <(printf '%s\n' "$KT_OUT") '^hub-2: quarantined$'
once 'the same as JSON' 1 '"devices":\[\{"device":"hub-1"\},\{"device":"hub-8","error":"' ctl --json release hub-1 hub-8
says 'what it did is seen' 0 '^hub-2 .* yes +no +' ctl list --state quarantined
once 'a revoke' 0 '^hub-2: revoked$' ctl revoke hub-2 --emergency --yes --note lost
once 'a deletion' 0 '^hub-2: deleted$' ctl delete-device hub-2 --yes
check_eq 'a list does not show it' "$(ctl list | grep -c '^hub-2 ')" 0
says 'unless it is asked for' 0 '^hub-2 +deleted' ctl list --state deleted
says 'a state that is none' 1 'json.field' ctl list --state happy

/usr/bin/python3 - <<'END' | while read -r line; do mosquitto_pub --unix "$KT_TMP/op.sock" -i op:many -q 1 \
	-t '$CONTROL/keyturn/v1' -m "$line"; done
import json
for start in range(0, 450, 90):
    print(json.dumps({"commands": [{"command": "createDevice", "device": f"many-{i:03}"} for i in range(start, start + 90)]}))
END
check 'there are many devices' wait_for 10 bash -c "'$CTL' --unix '$KT_TMP/op.sock' show many-449"
check_eq 'a list of more than two pages is whole' "$(ctl list | grep -c '^many-')" 450
check_eq 'each once' "$(ctl list | grep '^many-' | cut -d' ' -f1 | sort -u | wc -l)" 450
says 'as JSON, too' 0 '"total":451\}$' ctl --json list

# --- over TLS ------------------------------------------------------------------------------------------------------

says 'a viewer looks' 0 '^hub-1 ' over_tls vera list
says 'and sees the whole' 0 '^counts.devices +' over_tls vera status
once 'but changes nothing' 1 'hub-7: denied' over_tls vera create-device hub-7
check_fails 'not even a ticket' 1 over_tls vera create-ticket hub-1
once 'an admin does' 0 '^hub-7: created$' over_tls alice create-device hub-7
"$KT_PKI" operator "$KT_TMP/pki" --name mallory >>"$KT_TMP/pki.log" 2>&1
says 'an operator who is in no configuration' 3 'refuses' over_tls mallory list
"$KT_PKI" init "$KT_TMP/other" --trust-domain "$TD" >>"$KT_TMP/pki.log" 2>&1
cp "$KT_TMP/pki/operator-alice.key" "$KT_TMP/open.key"
chmod 644 "$KT_TMP/open.key"
says 'a key that everybody can read' 3 'open\.key: others can read' "$CTL" --host localhost --port "$PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" --key "$KT_TMP/open.key" list
says 'a broker of another root' 3 'certificate verify failed' "$CTL" --host localhost --port "$PORT" \
	--cafile "$KT_TMP/other/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" \
	--key "$KT_TMP/pki/operator-alice.key" list
# the same address, by a name that is in no certificate
says 'a broker of another name' 3 'certificate verify failed|host ?name' "$CTL" --host 127.1 --port "$PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" \
	--key "$KT_TMP/pki/operator-alice.key" list
says 'a key of another certificate' 3 '^keyturnctl: localhost: ' "$CTL" --host localhost --port "$PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" \
	--key "$KT_TMP/pki/operator-vera.key" list
says 'a claimant is no operator' 3 'refuses' "$CTL" --host localhost --port "$PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/claim.pem" --key "$KT_TMP/claim.pem" list
says 'nor is nobody at all' 3 'refuses' "$CTL" --host localhost --port "$CLAIM_PORT" \
	--cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-alice.pem" \
	--key "$KT_TMP/pki/operator-alice.key" list
before=$(ctl status | grep '^seq ')
while read -r line; do
	# shellcheck disable=SC2086 # words
	once "a viewer may not ${line%% *}" 1 '^keyturnctl: ([^ ]+: )?denied' over_tls vera $line
done <<-END
	create-device hub-9
	create-ticket hub-1
	approve $KEY_ID hub-9
	deny $KEY_ID
	rotate hub-1
	rotate --all --expect 1
	cancel hub-1
	challenge hub-1
	quarantine hub-1
	release hub-1 --freeze
	confirm-clock
	revoke hub-1 --yes
	delete-device hub-1 hub-7 --yes
END
check_eq 'and nothing of it is on record' "$(ctl status | grep '^seq ')" "$before"
watchers=$(grep -cE 'keyturn/v1/events/# \(QoS' "$KT_TMP/broker.log")
run_bg vera "${VERA[@]}" events --follow
check 'but he may watch' wait_for_lines 10 "$KT_TMP/broker.log" 'keyturn/v1/events/# \(QoS' "$((watchers + 1))"
once 'what an admin does' 0 '^hub-6: created$' over_tls alice create-device hub-6
check 'and sees it' wait_for_line 10 "$KT_TMP/vera.log" 'device\.created device=hub-6'

# --- operators -----------------------------------------------------------------------------------------------------

FP=$(openssl x509 -in "$KT_TMP/pki/operator-mallory.pem" -outform DER | sha256sum | cut -d' ' -f1)
once 'who is in no configuration is added' 0 '^mallory: done$' ctl operator add mallory "sha256:$FP" rotator --note nights
once 'not twice' 1 '^keyturnctl: mallory: exists' ctl operator add mallory "$FP" viewer
once 'nor over one of the configuration' 1 '^keyturnctl: alice: exists' ctl operator add alice "$FP" viewer
says 'a role that is none' 2 'is no role' ctl operator add dave "$FP" root
says 'a fingerprint that is none' 2 'is no fingerprint' ctl operator add dave sha256:12 viewer
says 'he is let in' 0 '^hub-1 ' over_tls mallory list
once 'with the rights of his role' 1 '^keyturnctl: hub-9: denied' over_tls mallory create-device hub-9
once 'and no others' 1 '^keyturnctl: hub-9: not.found' over_tls mallory rotate hub-9
says 'the list has him' 0 '^mallory +rotator +ledger +certificate +20[^ ]+ +op:unix +[0-9a-f]{64}$' ctl operator list
says 'and those of the configuration' 0 '^vera +viewer +config +certificate +- +- +[0-9a-f]{64}$' ctl operator list
says 'as JSON' 0 '^\{"operators":\[.*"name":"mallory".*\],"total":4\}$' ctl operator list --json
says 'nobody was removed yet' 0 '^NAME' ctl operator list --removed
once 'who stands in keyturn.conf is not removed' 1 'alice: state: name stands in keyturn\.conf' ctl operator remove alice
once 'nor is nobody' 1 '^keyturnctl: nobody: not.found' ctl operator remove nobody
once 'he removes nobody, either' 1 '^keyturnctl: mallory: denied' over_tls mallory operator remove mallory
once 'an admin removes him' 0 '^mallory: done$' over_tls alice operator remove mallory --note left
says 'he is not let in any more' 3 'refuses' over_tls mallory list
says 'he is remembered' 0 '^mallory +rotator +ledger .* op:alice ' ctl operator list --removed
says 'and not listed' 0 '"total":3\}$' ctl operator list --json

# --- hubs that answer ---------------------------------------------------------------------------------------------

probe "$KT_ROOT/tests/integration/ctl.py"

# --- the ledger, without the broker ----------------------------------------------------------------------------------

says 'a ledger that is written to' 0 '^verdict +whole$' "$CTL" audit verify "$KT_TMP/ledger"
scene_stop
wait_for_exit 10 "$EVENTS"
check_eq 'the watcher ends with a lost connection' "$?" 3
check_line 'and says so' "$KT_TMP/events.log" '^keyturnctl: events: the broker '
says 'its last record is on the disk' 0 '"verdict":"whole"' "$CTL" --json audit verify "$KT_TMP/ledger"
says 'a directory without one' 6 'there is no ledger' "$CTL" audit verify "$KT_TMP/pki"
cp -r "$KT_TMP/ledger" "$KT_TMP/torn"
truncate -s -5 "$KT_TMP/torn/ledger.kt"
says 'a torn one' 0 '^verdict +torn$' "$CTL" audit verify "$KT_TMP/torn"
check_eq 'is left as it is' "$(stat -c %s "$KT_TMP/torn/ledger.kt")" "$(($(stat -c %s "$KT_TMP/ledger/ledger.kt") - 5))"
cp -r "$KT_TMP/ledger" "$KT_TMP/altered"
sed -i '2s/hub-1/hub-9/' "$KT_TMP/altered/ledger.kt"
says 'an altered one' 5 'line [0-9]+ of .*ledger\.kt \(record [0-9]+\) does not verify' "$CTL" audit verify "$KT_TMP/altered"
says 'also as JSON' 5 '"verdict":"bad"' "$CTL" --json audit verify "$KT_TMP/altered"
cp -r "$KT_TMP/ledger" "$KT_TMP/shorter"
sed -i 2d "$KT_TMP/shorter/ledger.kt"
says 'one with a record taken out' 5 'does not verify' "$CTL" audit verify "$KT_TMP/shorter"
cp -r "$KT_TMP/ledger" "$KT_TMP/swapped"
sed -i '3{h;d};4G' "$KT_TMP/swapped/ledger.kt"
says 'one with two records swapped' 5 'line 3 of .* does not verify' "$CTL" audit verify "$KT_TMP/swapped"
cp -r "$KT_TMP/ledger" "$KT_TMP/longer"
sed -n 3p "$KT_TMP/ledger/ledger.kt" >>"$KT_TMP/longer/ledger.kt"
says 'one with a record said twice' 5 'does not verify' "$CTL" audit verify "$KT_TMP/longer"
says 'the file itself' 0 '^verdict +whole$' "$CTL" audit verify "$KT_TMP/ledger/ledger.kt"
says 'by its older name' 0 '^verdict +whole$' "$CTL" ledger verify "$KT_TMP/ledger"
check_fails 'a verdict that cannot be written down' 6 bash -c "'$CTL' audit verify '$KT_TMP/ledger' >/dev/full"
check_no_line 'no secret went to any log' <(cat "$KT_TMP"/*.log) "keyturn-ticket-1|PRIVATE KEY"
secret=$(/usr/bin/python3 -c '
import base64, json, sys
secret = json.loads(base64.urlsafe_b64decode(sys.argv[1].split(".", 1)[1] + "=="))["secret"]
print(secret + "|" + base64.urlsafe_b64decode(secret + "=").hex())' "$ticket")
check_eq 'the secret of a ticket' "${#secret}" $((43 + 1 + 64))
check_no_line 'is in no log, in no form' <(cat "$KT_TMP"/*.log) "$secret"
check_no_line 'and not on the disk of the broker' <(cat "$KT_TMP"/ledger/* "$KT_TMP"/state/*) "$secret"
finish
