#!/bin/bash
# Can a fleet that has certificates of its own CA be taken over without a day on which everything
# stops? Its broker gets the plugin, which watches; its certificates are imported; its hubs move over
# one by one; then enforce = on. And does what was revoked, replaced or reserved stay out all the time?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2016 # eval expands it
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
# shellcheck source=tests/integration/hub.sh
. "$(dirname "$0")/hub.sh"

CTL=$KT_BUILD/keyturnctl
[ -x "$CTL" ] || fatal "keyturnctl is not built in $KT_BUILD"
OLD=$KT_TMP/old
ctl() { "$CTL" --unix "$KT_TMP/op.sock" "$@"; }

# --- the old fleet: a CA made with openssl, common names, a broker without Keyturn ---------------------

old_leaf() { # NAME NEWKEY_ARGUMENTS...
	local name=$1
	shift
	{
		openssl req -new -newkey "$@" -nodes -keyout "$OLD/$name.key" -subj "/O=plant/CN=$name" \
			-out "$OLD/$name.csr" &&
			openssl x509 -req -in "$OLD/$name.csr" -CA "$OLD/ca.pem" -CAkey "$OLD/ca.key" \
				-CAcreateserial -days 30 -out "$OLD/$name.pem"
	} >>"$KT_TMP/old.log" 2>&1 || fatal "no certificate for $name: $(tail -n 3 "$KT_TMP/old.log")"
}

old_fleet() {
	local hub
	mkdir -m 700 "$OLD"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$OLD/ca.key" -out "$OLD/ca.pem" -days 30 \
		-subj '/CN=plant CA' >>"$KT_TMP/old.log" 2>&1 || fatal "no CA"
	for hub in hub-1 hub-3 hub-4; do
		old_leaf "$hub" ec -pkeyopt ec_paramgen_curve:P-256
	done
	old_leaf hub-2 rsa:2048
	old_leaf localhost rsa:2048
	mosquitto_passwd -b -c "$OLD/passwords" hub-1 secret
	mosquitto_passwd -b "$OLD/passwords" reader secret
	chmod 600 "$OLD/passwords"
	printf '%s\n' 'pattern readwrite plant/%u/#' >"$OLD/acl"
	chmod 600 "$OLD/acl"
}

OLD_PORT=$(free_port)
PLAIN_PORT=$(free_port)
old_listeners() { # CAFILE
	printf '%s\n' "listener $OLD_PORT 127.0.0.1" "cafile $1" "certfile $OLD/localhost.pem" \
		"keyfile $OLD/localhost.key" 'require_certificate true' \
		"listener $PLAIN_PORT 127.0.0.1"
}

# as_old PEM KEY ID TOPIC: one message, as the old fleet's programs send it
as_old() {
	timeout 10 mosquitto_pub -h localhost -p "$OLD_PORT" --cafile "$OLD/ca.pem" --cert "$1" --key "$2" \
		-i "$3" -V mqttv5 -q 1 -t "$4" -m x
}
hub_works() { as_old "$OLD/$1.pem" "$OLD/$1.key" "$1" "plant/$1/x"; }
user_works() { # USER ID
	timeout 10 mosquitto_pub -h localhost -p "$PLAIN_PORT" -u "$1" -P secret -i "$2" -V mqttv5 -q 1 \
		-t "plant/$1/x" -m x
}
refused() { ! "$@" 2>/dev/null; }
refusals() { grep -c "event=client\\.refused reason=$1 " "$KT_TMP/broker.log"; }
# is_refused NAME REASON COMMAND...: it does not get in, and for this reason
is_refused() {
	local name=$1 reason=$2 before
	shift 2
	before=$(refusals "$reason")
	check "$name" refused "$@"
	check_eq "$name: $reason" "$(refusals "$reason")" $((before + 1))
}
gauge_is() {
	[ "$(timeout 5 mosquitto_sub --unix "$KT_TMP/op.sock" -i op:story -C 1 -W 3 \
		-t '$SYS/broker/keyturn/would_refuse')" = "$1" ]
}
has_would() { ctl status --json | grep -q "\"wouldRefuse\":{[^}]*\"$1\":\"$2\""; }

scene_pki
old_fleet
cat "$OLD/ca.pem" "$KT_TMP/pki/clients.pem" >"$KT_TMP/both.pem"
{
	[ "$(id -u)" != 0 ] || echo 'user root'
	printf '%s\n' 'log_dest stderr' 'allow_anonymous false' "password_file $OLD/passwords" \
		"acl_file $OLD/acl"
	old_listeners "$OLD/ca.pem"
	# of the TLS listener alone, in the broker's words: of the last one that was named
} >"$KT_TMP/stock.conf"
sed -i "/^listener $PLAIN_PORT/i use_identity_as_username true" "$KT_TMP/stock.conf"
run_bg stock "$KT_BROKER" -c "$KT_TMP/stock.conf"
STOCK=$BG_PID
wait_for_port 10 "$OLD_PORT" || fatal "the old broker does not listen"
for hub in hub-1 hub-2 hub-3 hub-4; do
	check "without Keyturn: $hub works" hub_works "$hub"
done
check "without Keyturn: a reader works by its password" user_works reader reader
stop_pid "$STOCK" 10

# --- the plugin watches --------------------------------------------------------------------------------

KEYTURN_LINES+=('enforce = observe' 'observe_username = cn' 'superseded_drain = 1s'
	'acl = readwrite plant/%d/#')
BROKER_LINES+=("password_file $OLD/passwords" "acl_file $OLD/acl")
mapfile -t LISTENER_LINES < <(old_listeners "$KT_TMP/both.pem")
scene_write
sed -i "s|^cafile $KT_TMP/pki/clients.pem|cafile $KT_TMP/both.pem|" "$KT_TMP/mosquitto.conf"
scene_start
check_line "the start warns" "$KT_TMP/broker.log" 'event=config\.warned why="enforce = observe: '
for hub in hub-1 hub-2 hub-3 hub-4; do
	check "observing: $hub works" hub_works "$hub"
done
check "observing: a reader works" user_works reader reader
check "observing: what would be refused is counted" has_would cert.foreign 4
check_eq "observing: and told" \
	"$(grep -c 'event=client\.would_refuse reason=cert\.foreign client=hub-' "$KT_TMP/broker.log")" 4
check "status says so" eval 'ctl status --json | grep -q "\"enforce\":\"observe\""'
check "observing: the gauge shows it" wait_for 20 gauge_is 4

# two programs that stay connected through all of it
live() { # NAME
	run_bg "live-$1" mosquitto_sub -h localhost -p "$OLD_PORT" --cafile "$OLD/ca.pem" \
		--cert "$OLD/$1.pem" --key "$OLD/$1.key" -i "$1:live" -V mqttv5 -q 1 -t "plant/$1/in" -d
	wait_for_line 10 "$KT_TMP/live-$1.log" 'Subscribed'
}
live hub-2
LIVE_2=$BG_PID
live hub-4
LIVE_4=$BG_PID

is_refused "an old certificate does not get a hub's agent id" cert.foreign \
	as_old "$OLD/hub-1.pem" "$OLD/hub-1.key" hub-1:agent plant/hub-1/x
is_refused "nor an operator's" cert.foreign \
	as_old "$OLD/hub-1.pem" "$OLD/hub-1.key" op:alice plant/hub-1/x
is_refused "a password does not get one either" clientid user_works reader hub-1:agent
is_refused "nor the trial's" clientid user_works reader hub-1:trial
is_refused "nor a claimant's" clientid user_works reader claim:x

# --- the import ----------------------------------------------------------------------------------------

mkdir "$KT_TMP/fleet"
cp "$OLD/ca.pem" "$KT_TMP/fleet/"
cp "$OLD/hub-1.pem" "$KT_TMP/fleet/hub-1.crt"
cat "$OLD/hub-2.pem" "$OLD/ca.pem" >"$KT_TMP/fleet/hub-2.pem"
openssl x509 -in "$OLD/hub-4.pem" -outform DER -out "$KT_TMP/fleet/hub-4.der"
cp "$OLD/localhost.key" "$KT_TMP/fleet/some.pem" # no certificate in it
echo notes >"$KT_TMP/fleet/notes.txt"            # not looked at
cp "$OLD/hub-1.pem" "$KT_TMP/fleet/twin.pem"
printf -- '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n' >"$KT_TMP/fleet/junk.pem"

import() { KT_OUT=$(ctl import "$@" 2>&1); }
import --check --group plant "$KT_TMP/fleet"
check_eq "import --check: exit code" $? 1
check_line "import --check: counts" <(echo "$KT_OUT") \
	'can be imported 3, known already 0, refused 2, skipped 3'
check "import --check: changes nothing" eval '! ctl show hub-1 >/dev/null 2>&1'
import --group plant "$KT_TMP/fleet"
check_eq "import: exit code of a part" $? 1
check_line "import: a P-256 key" <(echo "$KT_OUT") 'hub-1\.crt: hub-1 imported$'
check_line "import: another key" <(echo "$KT_OUT") 'hub-2\.pem: hub-2 imported, moves over with a ticket'
check_line "import: DER" <(echo "$KT_OUT") 'hub-4\.der: hub-4 imported$'
check_line "import: a CA's is skipped" <(echo "$KT_OUT") 'ca\.pem: skipped: a CA'
check_line "import: a twin is refused" <(echo "$KT_OUT") 'twin\.pem: exists: hub-1 is in '
check_line "import: junk is refused" <(echo "$KT_OUT") 'junk\.pem: cert\.syntax: '
check_line "import: counts" <(echo "$KT_OUT") 'imported 3, known already 0, refused 2, skipped 3'
rm "$KT_TMP/fleet/twin.pem" "$KT_TMP/fleet/junk.pem"
import --json "$KT_TMP/fleet"
check_eq "import once more: exit code" $? 0
check_line "import once more: all are known" <(echo "$KT_OUT") \
	'"imported":0,"known":3,"refused":0,"skipped":3}$'
import --id-from filename "$OLD/hub-3.key" "$OLD/nothing-there.pem"
check_eq "import: a file that is not there" $? 1
check "the hub is generation 0" eval 'ctl show hub-1 --json | grep -q "\"state\":\"active\",.*\"generation\":0,"'
for hub in hub-1 hub-2 hub-3 hub-4; do
	check "imported, observing: $hub works" hub_works "$hub"
done
check "observing: a password under a device's name" user_works hub-1 hub-1
check "observing: it is counted" has_would clientid 1
check "the import ended nobody" eval '! is_gone "$LIVE_2" && ! is_gone "$LIVE_4" &&
	! grep -q DISCONNECT "$KT_TMP/live-hub-2.log"'

# --- a hub moves over -----------------------------------------------------------------------------------

hub_conf hub-1 "trust_domain = $TD" "root_cert = $KT_TMP/pki/root.pem"
hub_conf hub-2 "trust_domain = $TD" "root_cert = $KT_TMP/pki/root.pem"
adopt() { KT_OUT=$(agent "$1" adopt --cert "$OLD/$2.pem" --key "$OLD/$3.key" 2>&1); }
adopt hub-1 hub-1 hub-4
check_eq "adopt: another one's key" $? 1
check_line "adopt: says so" <(echo "$KT_OUT") 'is not for this key'
adopt hub-2 hub-2 hub-2
check_eq "adopt: a key that cannot sign messages" $? 1
check_line "adopt: says what to do" <(echo "$KT_OUT") 'is no P-256 key in PEM: this hub moves over with a ticket'
adopt hub-1 hub-1 hub-1
check_eq "adopt: exit code" $? 0
check_eq "adopt: says whom" "$KT_OUT" 'hub-1 is adopted'
adopt hub-1 hub-1 hub-1
check_eq "adopt once more" $? 0
adopt hub-1 hub-4 hub-4
check_eq "adopt another one" $? 1
start_hub hub-1
check "the agent is in session with the old certificate" wait_for 30 is_in_session hub-1
check_eq "its generation" "$(generation hub-1)" 0
check_eq "its identity is the old certificate" "$(current_fp hub-1)" "$(leaf_fp "$OLD/hub-1.pem")"
check "the old programs go on beside it" hub_works hub-1
check "challenge: it answers" ctl challenge hub-1 --wait
check "rotate: promoted" rotate_hub hub-1
check_eq "its generation is 1" "$(generation hub-1)" 1
check "its certificate is of our CA" eval 'openssl verify -CAfile "$KT_TMP/pki/root.pem" \
	-untrusted "$KT_TMP/pki/issuing.pem" "$KT_TMP/hub-1/state/current/cert.pem" >/dev/null'
NEW=$KT_TMP/hub-1/state/current/identity.pem
check "the new certificate works where the old one did" as_old "$NEW" "$NEW" hub-1 plant/hub-1/x
is_refused "observing: the old certificate is out" cert.superseded hub_works hub-1
is_refused "observing: under any client id" cert.superseded \
	as_old "$OLD/hub-1.pem" "$OLD/hub-1.key" reader plant/hub-1/x

# --- what is revoked is out while observing -------------------------------------------------------------

check "revoke" ctl revoke hub-4 --emergency --yes
check "its live session ends" eval 'wait_for_line 10 "$KT_TMP/live-hub-4.log" DISCONNECT'
stop_pid "$LIVE_4" 5 || true
is_refused "observing: the revoked one is out" cert.revoked hub_works hub-4
check "the other live session is still there" eval '! is_gone "$LIVE_2" && ! grep -q DISCONNECT "$KT_TMP/live-hub-2.log"'

# --- enforce = on -----------------------------------------------------------------------------------------

stop_pid "$LIVE_2" 5 || true
scene_stop
sed -i '/^enforce = /d; /^observe_username = /d' "$KT_TMP/keyturn.conf"
scene_start
check "status: enforce" eval 'ctl status --json | grep -q "\"enforce\":\"on\""'
check "enforcing: an imported hub works" hub_works hub-2
check "enforcing: and by a name of its own" as_old "$OLD/hub-2.pem" "$OLD/hub-2.key" hub-2:log plant/hub-2/x
check "enforcing: the hub that moved over works" as_old "$NEW" "$NEW" hub-1 plant/hub-1/x
check "enforcing: its agent is in session" wait_for 30 is_in_session hub-1
check "enforcing: a reader works" user_works reader reader
is_refused "enforcing: what is not registered is out" cert.foreign hub_works hub-3
is_refused "enforcing: what was replaced is out" cert.superseded hub_works hub-1
is_refused "enforcing: what was revoked is out" cert.revoked hub_works hub-4
is_refused "enforcing: another client id is out" clientid \
	as_old "$OLD/hub-2.pem" "$OLD/hub-2.key" reader plant/hub-2/x
is_refused "enforcing: a password under a device's name is out" clientid user_works hub-1 hub-1
is_refused "enforcing: an agent's id is its own" clientid \
	as_old "$OLD/hub-2.pem" "$OLD/hub-2.key" hub-1:agent plant/hub-2/x

# --- a hub whose key cannot sign moves over with a ticket ---------------------------------------------------

ticket_for hub-2 || fatal "no ticket for hub-2"
check "hub-2 enrols by ticket" agent hub-2 enroll --ticket-file "$KT_TMP/hub-2/ticket" --wait 30
check_eq "hub-2: generation" "$(generation hub-2)" 1
is_refused "its old certificate is out" cert.superseded hub_works hub-2

stop_hub hub-1
scene_stop
finish
