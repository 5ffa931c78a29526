#!/bin/bash
# Hubs that do not know the time: one without a clock (1970), one far ahead (2100). They enrol, rotate and
# come back, also to a broker whose certificate was renewed after all they have seen; and neither lets them
# believe a foreign broker, or one whose certificate is over where they can tell.

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
[ "${#BROKER_BEFORE[@]}" -eq 0 ] || { # a sanitizer's run-time leaves no room for another clock
	ok 'no other clock under a sanitizer'
	finish
}
KEYTURN_LINES+=('superseded_drain = 1s')
scene_write
scene_start
OTHER_PORT=$(free_port)

declare -A CLOCK=([hub-past]='@1970-01-01 00:00:10' [hub-ahead]='@2100-01-01 00:00:00')
HUBS=(hub-past hub-ahead)

floor_of() { # HUB: the newest record's
	cat "$KT_TMP/$1"/state/record.? | grep -oE '"floor":[0-9]+' | cut -d: -f2 | sort -n | tail -n 1
}
is_at_least() { [ "$1" -ge "$2" ]; }

# dated_broker BASE NAME START END [PKI]: KT_TMP/BASE.pem and .key, a server's certificate under the root
# with these dates (seconds from now)
dated_broker() {
	local dir=$KT_TMP/ca-$1 pki=${5:-$KT_TMP/pki}
	mkdir "$dir"
	: >"$dir/index.txt"
	cat >"$dir/ca.cnf" <<-EOF
		[ca]
		default_ca = it
		[it]
		database = $dir/index.txt
		new_certs_dir = $dir
		rand_serial = yes
		default_md = sha256
		unique_subject = no
		policy = any
		[any]
		commonName = supplied
		[ext]
		basicConstraints = critical,CA:FALSE
		keyUsage = critical,digitalSignature
		extendedKeyUsage = serverAuth
		subjectAltName = DNS:$2
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid:always
	EOF
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$KT_TMP/$1.key" \
		-subj "/CN=$2" -out "$dir/it.csr" 2>"$dir/log"
	openssl ca -config "$dir/ca.cnf" -batch -notext -extensions ext -cert "$pki/root.pem" \
		-keyfile "$pki/root.key" -in "$dir/it.csr" -out "$KT_TMP/$1.pem" \
		-startdate "$(date -u -d "@$(($(date +%s) + $3))" +%Y%m%d%H%M%SZ)" \
		-enddate "$(date -u -d "@$(($(date +%s) + $4))" +%Y%m%d%H%M%SZ)" 2>>"$dir/log"
	[ -s "$KT_TMP/$1.pem" ] || fatal "no certificate $1: $(tail -n 3 "$dir/log")"
	cat "$pki/root.pem" >>"$KT_TMP/$1.pem"
}

# broker_with BASE: the broker again, with that certificate
broker_with() {
	scene_stop || not_ok 'the broker ends with success' "exit $?: $(tail -n 5 "$KT_TMP/broker.log")"
	rm -f "$KT_TMP/op.sock"
	sed -i "s|^certfile .*|certfile $1.pem|; s|^keyfile .*|keyfile $1.key|" "$KT_TMP/mosquitto.conf"
	scene_start
}

DAY=86400
for hub in "${HUBS[@]}"; do
	at_time "${CLOCK[$hub]}" || fatal 'there is no libfaketime'
	enrol_hub "$hub"
	: >"$KT_TMP/$hub.log"
	start_hub "$hub"
	check "$hub: in session" wait_for 60 is_in_session "$hub"
	check "$hub: rotates" rotate_hub "$hub"
	stop_hub "$hub"
	start_hub "$hub"
	check "$hub: comes back" wait_for 60 is_in_session "$hub"
	check_eq "$hub: with its second key" "$(generation "$hub")" 2
	check_eq "$hub: was never refused" "$(grep -c 'event=link\.refused\|cause=untrusted' "$KT_TMP/$hub.log")" 0
	check "$hub: knows that it is not before the certificates that it has seen" is_at_least "$(floor_of "$hub")" \
		"$(date -d "$(openssl x509 -in "$KT_TMP/pki/root.pem" -noout -startdate | cut -d= -f2)" +%s)"
	check "$hub: and no more" is_at_least "$(($(date +%s) + 60))" "$(floor_of "$hub")"
	stop_hub "$hub"
done

# --- renewed while they were away ------------------------------------------------------------------------

# It begins after everything that they have seen; by the one clock it is over, by the other not yet there
dated_broker renewed localhost $((30 * DAY)) $((40 * DAY))
broker_with "$KT_TMP/renewed"
for hub in "${HUBS[@]}"; do
	at_time "${CLOCK[$hub]}"
	: >"$KT_TMP/$hub.log"
	start_hub "$hub"
	check "$hub: believes the renewed certificate" wait_for 60 is_in_session "$hub"
	check "$hub: and knows the time better" is_at_least "$(floor_of "$hub")" $(($(date +%s) + 29 * DAY))
	check "$hub: rotates" rotate_hub "$hub"
	stop_hub "$hub"
done
check_line 'the one that is ahead says so' "$KT_TMP/hub-ahead.log" 'event=clock\.ahead'
check_no_line 'the other has nothing to say' "$KT_TMP/hub-past.log" 'event=clock\.ahead'

# --- nobody there for hours ------------------------------------------------------------------------------

at_time +0
HUB_BEFORE=("${HUB_BEFORE[@]/#FAKETIME=*/FAKETIME_TIMESTAMP_FILE=$KT_TMP/clock}" FAKETIME_NO_CACHE=1)
HUB_BEFORE=("${HUB_BEFORE[@]/#DONT_FAKE_MONOTONIC=1/DONT_FAKE_MONOTONIC=0}")
echo +0 >"$KT_TMP/clock"
lone=${HUBS[0]}
: >"$KT_TMP/$lone.log"
start_hub "$lone"
check 'an agent is in session' wait_for 60 is_in_session "$lone"
echo +2h >"$KT_TMP/clock"
check 'two hours later, too' rotate_hub "$lone"
scene_stop
check 'its broker is away' wait_for_lines 20 "$KT_TMP/$lone.log" 'event=link\.down link=agent cause=no_answer' 2
check 'it waits' is_running "${HUB_PID[$lone]}"
echo +4h >"$KT_TMP/clock"
wait_for_exit 60 "${HUB_PID[$lone]}"
check_eq 'but not for ever' "$?" 1
check_line 'and says why it leaves it to a new process' "$KT_TMP/$lone.log" 'event=agent\.failed what=contact err=busy'
rm -f "$KT_TMP/op.sock"
scene_start

# --- who is not believed, whatever the clock --------------------------------------------------------------

# never_believed HUB WHAT BASE: a server with that certificate in the broker's place
never_believed() {
	local hub=$1 what=$2 server
	run_bg server openssl s_server -accept "$OTHER_PORT" -cert "$3.pem" -key "$3.key" -cert_chain "$3.pem" -quiet
	server=$BG_PID
	wait_for_port 10 "$OTHER_PORT" || fatal 'no server'
	sed -i "s|^broker = .*|broker = localhost:$OTHER_PORT|" "$KT_TMP/$hub/agent.conf"
	: >"$KT_TMP/$hub.log"
	start_hub "$hub"
	check "$hub: $what is not believed" wait_for_lines 20 "$KT_TMP/$hub.log" "event=link\\.down link=agent cause=$4" 2
	check_no_line "$hub: $what never has a link" "$KT_TMP/$hub.log" 'event=link\.(up|refused)'
	stop_hub "$hub"
	stop_pid "$server" 5
	sed -i "s|^broker = .*|broker = localhost:$PORT|" "$KT_TMP/$hub/agent.conf"
}

"$KT_PKI" init "$KT_TMP/other" --trust-domain "$TD" >>"$KT_TMP/pki.log" 2>&1
dated_broker foreign localhost -$DAY $((90 * DAY)) "$KT_TMP/other"
dated_broker elsewhere elsewhere.example -$DAY $((90 * DAY))
dated_broker over localhost $((-20 * DAY)) $((20 * DAY)) # before what they have seen
for hub in "${HUBS[@]}"; do
	at_time "${CLOCK[$hub]}"
	before=$(floor_of "$hub")
	never_believed "$hub" 'a broker of another root' "$KT_TMP/foreign" untrusted
	never_believed "$hub" 'a broker of another name' "$KT_TMP/elsewhere" '(untrusted|no_answer)'
	never_believed "$hub" 'a broker whose certificate is over' "$KT_TMP/over" untrusted
	check_eq "$hub: nobody of them has told it the time" "$(floor_of "$hub")" "$before"
done

# --- and back ------------------------------------------------------------------------------------------------

broker_with "$KT_TMP/pki/broker"
for hub in "${HUBS[@]}"; do
	at_time "${CLOCK[$hub]}"
	start_hub "$hub"
	check "$hub: is in session with a certificate without end" wait_for 60 is_in_session "$hub"
	check "$hub: rotates" rotate_hub "$hub"
	stop_hub "$hub"
done
at_time '' # and with a clock that is set, though its floor is ahead of it now
start_hub hub-ahead
check 'with its clock set it is in session' wait_for 60 is_in_session hub-ahead
stop_hub hub-ahead
check_no_line 'no alarm in all that' "$KT_TMP/broker.log" 'event=(clone|rotation\.frozen|registry\.behind)'
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
