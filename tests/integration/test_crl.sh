#!/bin/bash
# The revocation list that other servers read: who is on it and why, what openssl and a second Mosquitto make
# of it, its numbers over restarts and clocks, its age, a directory that is gone, and a broker that is
# killed in the middle of it.

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
OTHER_PORT=$(free_port)
CRL=$KT_TMP/crl/crl.pem
DAY=86400
mkdir "$KT_TMP/crl"
KEYTURN_LINES+=("crl_file = $CRL" 'certificate_lifetime = 90d' 'crl_validity = 2d')

# --- what the list says ---

crl_text() { openssl crl -in "$CRL" -noout -text 2>/dev/null; }
number() { # in hex or decimal, as this openssl shows it
	local text
	text=$(openssl crl -in "$CRL" -noout -crlnumber) || return
	printf '%d\n' "${text#crlNumber=}" 2>/dev/null || printf '%d\n' "0x${text#*0x}"
}
entries() { crl_text | grep -c 'Serial Number:'; }
has_entries() { [ "$(entries)" -eq "$1" ]; }
is_newer() { [ "$(number 2>/dev/null || echo 0)" -gt "$1" ]; }
seconds_of() { date -u -d "$(openssl crl -in "$CRL" -noout "-$1" | cut -d= -f2)" +%s; }
is_between() { [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; }
serial() { openssl x509 -in "$1" -noout -serial | cut -d= -f2; }
reason() { # PEM: of the certificate; "" if it is not on it
	crl_text | grep -A 5 "Serial Number: $(serial "$1")\$" | grep -A 1 'Reason Code' | tail -n 1 | sed 's/^ *//'
}
is_signed() {
	openssl crl -in "$CRL" -noout -CAfile "$KT_TMP/pki/issuing.pem" 2>&1 | grep -q 'verify OK'
}
verify() { # PEM
	openssl verify -x509_strict -purpose sslclient -crl_check -CRLfile "$CRL" -CAfile "$KT_TMP/pki/root.pem" \
		-untrusted "$KT_TMP/pki/issuing.pem" "$1"
}
check_revoked() { # NAME PEM
	local said
	said=$(verify "$2" 2>&1)
	if [[ $said == *'error 23 at 0 depth lookup: certificate revoked'* ]]; then
		ok "$1"
	else
		not_ok "$1" "$said"
	fi
}
take_leaf() { openssl x509 -in "$KT_TMP/$1/state/current/identity.pem" -out "$KT_TMP/$2.pem"; }
keep_identity() { (umask 077 && cp "$KT_TMP/$1/state/current/identity.pem" "$KT_TMP/$2.id"); }

# --- before anybody is out ---

scene_write
scene_start
check_no_line 'a list with a lifetime is nothing to warn of' "$KT_TMP/broker.log" 'event=config\.warned.*crl_file'
check 'the start writes a list' wait_for_line 10 "$KT_TMP/broker.log" 'event=crl\.written number=[0-9]+ entries=0'
check 'openssl believes it' is_signed
check 'nobody is on it' grep -q 'No Revoked Certificates' <(crl_text)
check 'it is of version 2' grep -q 'Version 2 (0x1)' <(crl_text)
check 'it names its issuer'"'"'s key' grep -q 'Authority Key Identifier' <(crl_text)
check_eq 'others can read it' "$(stat -c %a "$CRL")" 644
now=$(date +%s)
check 'thisUpdate is five minutes ago' is_between "$(seconds_of lastupdate)" $((now - 330)) $((now - 300))
check 'nextUpdate is in two days' is_between "$(seconds_of nextupdate)" $((now + 2 * DAY - 30)) $((now + 2 * DAY))
for hub in hub-good hub-rotated hub-revoked; do
	enrol_hub "$hub"
	start_hub "$hub"
	check "$hub: in session" wait_for 60 is_in_session "$hub"
	keep_identity "$hub" "$hub-1"
	take_leaf "$hub" "$hub-1"
	check "$hub: openssl accepts it" verify "$KT_TMP/$hub-1.pem"
done

# --- one is rotated, one revoked ---

first=$(number)
check 'hub-rotated rotates' rotate_hub hub-rotated
check 'its old certificate is on the list' wait_for 20 has_entries 1
second=$(number)
check 'the number has grown' [ "$second" -gt "$first" ]
keep_identity hub-rotated hub-rotated-2
take_leaf hub-rotated hub-rotated-2
command_ok 'hub-revoked is revoked' '{"command":"revoke","device":"hub-revoked","emergency":true}'
check 'so is the revoked one' wait_for 20 has_entries 2
third=$(number)
check 'the number has grown again' [ "$third" -gt "$second" ]
check 'openssl believes this list too' is_signed
check 'the good one is accepted' verify "$KT_TMP/hub-good-1.pem"
check 'the new certificate of the rotated one too' verify "$KT_TMP/hub-rotated-2.pem"
check_revoked 'the superseded one is refused' "$KT_TMP/hub-rotated-1.pem"
check_revoked 'the revoked one is refused' "$KT_TMP/hub-revoked-1.pem"
check_eq 'the reason of the one' "$(reason "$KT_TMP/hub-rotated-1.pem")" Superseded
check_eq 'the reason of the other' "$(reason "$KT_TMP/hub-revoked-1.pem")" 'Privilege Withdrawn'
check_eq 'and no reason for the good one' "$(reason "$KT_TMP/hub-good-1.pem")" ''
command '{"command":"status"}'
check_eq 'status has number and length' "$(grep -oE '"crl":\{.*"leftOut":[0-9]+' <<<"$ANSWER")" \
	"\"crl\":{\"ok\":true,\"number\":\"$third\",\"entries\":2,\"leftOut\":0"

# --- a second Mosquitto, which knows the CA and the list ---

cat >"$KT_TMP/other.conf" <<-END
	$([ "$(id -u)" != 0 ] || echo 'user root')
	allow_anonymous true
	listener $OTHER_PORT 127.0.0.1
	cafile $KT_TMP/pki/clients.pem
	certfile $KT_TMP/pki/broker.pem
	keyfile $KT_TMP/pki/broker.key
	crlfile $CRL
	require_certificate true
END
opens_other() { # IDENTITY: chain and key in one file
	mosquitto_pub -h localhost -p "$OTHER_PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$1" --key "$1" \
		-q 1 -t x -m x >/dev/null 2>&1
}
start_other() {
	run_bg other "$KT_BROKER" -c "$KT_TMP/other.conf"
	OTHER=$BG_PID
	wait_for_port 10 "$OTHER_PORT" || fatal 'the second broker does not listen'
}
start_other
check 'the second broker lets the good one in' opens_other "$KT_TMP/hub-good-1.id"
check 'and the rotated one with its new certificate' opens_other "$KT_TMP/hub-rotated-2.id"
check_fails 'not with its old one' any opens_other "$KT_TMP/hub-rotated-1.id"
check_fails 'and not the revoked one' any opens_other "$KT_TMP/hub-revoked-1.id"
enrol_hub hub-late
start_hub hub-late
check 'a late one is in session' wait_for 60 is_in_session hub-late
keep_identity hub-late hub-late-1
check 'the second broker lets it in' opens_other "$KT_TMP/hub-late-1.id"
command_ok 'the late one is revoked' '{"command":"revoke","device":"hub-late"}'
check 'it is on the list' wait_for 20 has_entries 3
kill -HUP "$OTHER"
refuses_late() { ! opens_other "$KT_TMP/hub-late-1.id"; }
wait_for 3 refuses_late || {
	say '  (this Mosquitto reads crlfile at its start alone)'
	stop_pid "$OTHER" 10
	start_other
}
check_fails 'the second broker refuses it when it has read the list again' any opens_other "$KT_TMP/hub-late-1.id"
check 'and lets the good one in' opens_other "$KT_TMP/hub-good-1.id"
stop_pid "$OTHER" 10

# --- numbers over restarts and clocks ---

lists() { grep -c 'event=crl\.written' "$KT_TMP/broker.log"; }
restart() { # [COMMAND...]
	scene_stop || not_ok 'the broker ends with success' "exit $?"
	rm -f "$KT_TMP/op.sock"
	scene_start "$@"
}
is_written_again() { [ "$(lists)" -gt "$before" ]; }
next_list() { # WHAT [COMMAND...]: a restart, and what it writes
	local what=$1 last
	shift
	before=$(lists) last=$(number)
	restart "$@"
	check "$what: there is a new list" wait_for 10 is_written_again
	check "$what: its number has grown" [ "$(number)" -gt "$last" ]
	check "$what: and it is signed" is_signed
	check_eq "$what: with everybody who was on it" "$(entries)" 3
}
next_list 'a restart'
last_update=$(seconds_of lastupdate)
if [ "${#BROKER_BEFORE[@]}" -eq 0 ] && at_time -2d; then
	next_list 'a clock two days back' "${HUB_BEFORE[@]}"
	check 'it is not dated two days back: the ledger knows better' is_between "$(seconds_of lastupdate)" \
		$((last_update - 3600)) $((last_update + 3600))
	at_time +3d
	next_list 'a clock three days ahead' "${HUB_BEFORE[@]}"
	check 'it is dated ahead' [ "$(seconds_of lastupdate)" -gt $((last_update + 2 * DAY)) ]
	at_time ''
	next_list 'the clock is right again'
	check_revoked 'the revoked one is refused still' "$KT_TMP/hub-revoked-1.pem"

	# --- a new one before it is over: the clock goes on, by more than half of the two days ---
	echo '+0' >"$KT_TMP/clock"
	library=$(find /usr/lib /usr/lib64 -name libfaketimeMT.so.1 -print -quit)
	restart env "LD_PRELOAD=$library" "FAKETIME_TIMESTAMP_FILE=$KT_TMP/clock" FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1
	check 'under another clock a list too' wait_for 10 is_written_again
	wait_for 7 false # its rest is over
	before=$(lists) last=$(number)
	echo '+23h' >"$KT_TMP/clock"
	check_fails 'a day less an hour later there is no new list' any wait_for 3 is_written_again
	echo '+25h' >"$KT_TMP/clock"
	check 'a day and an hour later there is' wait_for 10 is_written_again
	check 'its number has grown' [ "$(number)" -gt "$last" ]
	now=$(date +%s)
	check 'it is good for two days from then' is_between "$(seconds_of nextupdate)" \
		$((now + 2 * DAY + 25 * 3600 - 60)) $((now + 2 * DAY + 25 * 3600 + 60))
	restart
else
	say '  (no other clock here: nothing about clocks)'
fi
wait_for 60 is_in_session hub-good

# --- the directory is gone ---

run_bg events mosquitto_sub --unix "$KT_TMP/op.sock" -V 5 -i op:events -q 1 \
	-t 'keyturn/v1/events/crl.failed' -t 'keyturn/v1/events/crl.written'
EVENTS=$BG_PID
mv "$KT_TMP/crl" "$KT_TMP/crl-away"
before=$(number 2>/dev/null)
enrol_hub hub-last
start_hub hub-last
check 'hubs enrol as ever' wait_for 60 is_in_session hub-last
take_leaf hub-last hub-last-1
command_ok 'a revoke is acknowledged' '{"command":"revoke","device":"hub-last","emergency":true}'
check 'the failure is logged' wait_for_line 20 "$KT_TMP/broker.log" \
	'event=crl\.failed file=[^ ]* why="No such file or directory" next_update_s=[1-9]'
check 'and an event' wait_for_line 10 "$KT_TMP/events.log" '"event":"crl.failed".*"why":"No such file or directory"'
check 'hubs rotate as ever' rotate_hub hub-good
command '{"command":"status"}'
check_eq 'status says so' "$(grep -oE '"crl":\{"ok":[a-z]+' <<<"$ANSWER")" '"crl":{"ok":false'
mv "$KT_TMP/crl-away" "$KT_TMP/crl"
: >"$KT_TMP/events.log"
check 'when it is back there is a list again' wait_for_line 45 "$KT_TMP/events.log" '"event":"crl.written"'
check_revoked 'with the one who was revoked meanwhile' "$KT_TMP/hub-last-1.pem"
check_revoked 'and the certificate that was rotated meanwhile' "$KT_TMP/hub-good-1.pem"
command '{"command":"status"}'
check_eq 'status knows' "$(grep -oE '"crl":\{"ok":[a-z]+' <<<"$ANSWER")" '"crl":{"ok":true'
stop_pid "$EVENTS" 5
for hub in hub-good hub-rotated hub-revoked hub-late hub-last; do
	stop_hub "$hub"
done
scene_stop

# --- killed in the middle ---

SHIM=$KT_BUILD/tests/crash_shim.so
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	[ -e "$SHIM" ] || fatal "crash_shim.so is not built in $KT_BUILD"
	kills=0 torn=0 back=0 touched=0
	count=$(entries)
	last=$(number)
	for ((n = 1; n < 400; n++)); do # bash tells of each one that is killed
		rm -f "$KT_TMP/op.sock" "$KT_TMP/killed.log"
		run_bg killed env "LD_PRELOAD=$SHIM" "KT_CRASH_AT=$n" KT_CRASH_HOW=kill "$KT_BROKER" -c "$KT_TMP/mosquitto.conf"
		pid=$BG_PID
		is_over() { is_gone "$pid" || grep -q 'event=crl\.written' "$KT_TMP/killed.log"; }
		wait_for 20 is_over || fatal 'neither killed nor done'
		if is_running "$pid"; then
			stop_pid "$pid" 10
			break
		fi
		forget_pid "$pid"
		kills=$((kills + 1))
		{ is_signed && has_entries "$count"; } || torn=$((torn + 1))
		[ "$(number)" -ge "$last" ] || back=$((back + 1))
		[ "$(number)" -eq "$last" ] || touched=$((touched + 1))
		last=$(number)
	done 2>>"$KT_TMP/killed.err"
	check "killed at each of its $kills calls until the list was written" [ "$kills" -ge 10 ]
	check 'sometimes before the list was there and sometimes after' is_between "$touched" 1 $((kills - 1))
	check_eq 'the list was never torn' "$torn" 0
	check_eq 'its number never went back' "$back" 0
	check_eq 'and nothing is left beside it' "$(ls "$KT_TMP/crl")" crl.pem
fi

# --- what the start says of it ---

refused() { # NAME REGEX
	run_bg refused "$KT_BROKER" -c "$KT_TMP/mosquitto.conf"
	wait_for_exit 20 "$BG_PID"
	check_line "$1" "$KT_TMP/refused.log" "event=plugin\\.refused .*$2"
	rm "$KT_TMP/refused.log"
}
cp "$CRL" "$KT_TMP/good.pem"
cp "$KT_TMP/pki/root.pem" "$CRL"
refused 'a file that is no list is not overwritten' 'is no revocation list and would be lost'
check 'it is still there' cmp -s "$KT_TMP/pki/root.pem" "$CRL"
head -c 300 "$KT_TMP/good.pem" >"$CRL"
sed -i '/^certificate_lifetime/d' "$KT_TMP/keyturn.conf"
: >"$KT_TMP/broker.log"
scene_start
check_line 'a torn one is replaced' "$KT_TMP/broker.log" 'event=config\.warned .*crl_file: .* is damaged or another CA'
check_line 'a list of certificates without end is warned of' "$KT_TMP/broker.log" \
	'event=config\.warned .*it grows for ever'
check 'and is written' wait_for_line 10 "$KT_TMP/broker.log" 'event=crl\.written'
check 'whole' is_signed
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
