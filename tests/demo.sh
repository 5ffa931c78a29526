#!/usr/bin/env bash
# The demo: real hubs on a stock Mosquitto get identities, prove them, roll them over, and are thrown out.
#
#   tests/demo.sh [--keep]
#
# Installs what is missing, builds, makes a PKI and everything else in one temporary directory, listens on
# 127.0.0.1 alone, cleans up. --keep leaves broker and hubs running and says how to look around.
# Each promise is checked as it is shown; ends with "N passed, N failed".
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

KEEP=0
case ${1-} in
--keep) KEEP=1 ;;
'') ;;
*)
	echo "usage: tests/demo.sh [--keep]" >&2
	exit 2
	;;
esac

TD=demo.example
BOLD=
PLAIN=
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	BOLD=$'\033[1m'
	PLAIN=$'\033[0m'
fi

step() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
# Shows a command as one would type it, then runs it.
run() {
	printf '   $ %s\n' "$(printable "$@")"
	"$@" 2>&1 | sed 's/^/   /'
	return "${PIPESTATUS[0]}"
}
# As one would type it: quoted where a shell needs that.
printable() {
	local word text=
	for word in "$@"; do
		case $word in
		*[!A-Za-z0-9_./:@%+,=-]*) text+=" '$word'" ;;
		*) text+=" $word" ;;
		esac
	done
	text=${text# }
	text=${text//"$KT_BUILD/"/}
	text=${text//"$KT_ROOT/"/}
	printf '%s' "${text//"$KT_TMP"/\$T}"
}
ctl() { "$KT_BUILD/keyturnctl" --unix "$KT_TMP/op.sock" "$@"; }
show_ctl() { run "$KT_BUILD/keyturnctl" --unix "$KT_TMP/op.sock" "$@"; }

# --- the scene ----------------------------------------------------------------------------------------

write_broker_conf() {
	cat >"$KT_TMP/keyturn.conf" <<-END
		trust_domain = $TD
		state_dir = $KT_TMP/state
		ledger_dir = $KT_TMP/ledger
		root_cert = $KT_TMP/pki/root.pem
		issuer_cert = $KT_TMP/pki/issuing.pem
		issuer_key = $KT_TMP/pki/issuing.key
		controller_cert = $KT_TMP/pki/controller-1.pem
		controller_key = $KT_TMP/pki/controller-1.key
		broker_address = localhost:$CLAIM_PORT
		operator = unix:$KT_TMP/op.sock admin
		acl = readwrite devices/%d/#
		enroll_retry = 1s
		superseded_drain = 1s
	END
	chmod 600 "$KT_TMP/keyturn.conf"
	{
		[ "$(id -u)" != 0 ] || echo "user root"
		cat <<-END
			per_listener_settings false
			allow_anonymous false
			persistence false
			log_dest stderr
			log_type all
			max_packet_size 262144
			set_tcp_nodelay true
			check_retain_source true
			plugin $KT_BUILD/mosquitto_keyturn.so
			plugin_opt_config $KT_TMP/keyturn.conf
			# hubs, with their certificate
			listener $PORT 127.0.0.1
			cafile $KT_TMP/pki/clients.pem
			certfile $KT_TMP/pki/broker.pem
			keyfile $KT_TMP/pki/broker.key
			require_certificate true
			tls_version tlsv1.2
			# new hubs that hold a ticket and nothing else
			listener $CLAIM_PORT 127.0.0.1
			certfile $KT_TMP/pki/broker.pem
			keyfile $KT_TMP/pki/broker.key
			tls_version tlsv1.2
			# operators on this machine
			listener 0 $KT_TMP/op.sock
		END
	} >"$KT_TMP/mosquitto.conf"
}

# agent_conf HUB [LINE...]
agent_conf() {
	local hub=$1
	shift
	mkdir -m 700 "$KT_TMP/$hub"
	{
		echo "broker = localhost:$PORT"
		echo "trust_domain = $TD"
		echo "state_dir = $KT_TMP/$hub/state"
		echo "root_cert = $KT_TMP/pki/root.pem"
		echo "device = $hub"
		echo "hook = /bin/touch $KT_TMP/$hub/reloaded"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$KT_TMP/$hub/agent.conf"
	chmod 600 "$KT_TMP/$hub/agent.conf"
}

agent() { # HUB COMMAND...
	local hub=$1 command=$2
	shift 2
	run "$KT_BUILD/keyturn-agent" "$command" -c "$KT_TMP/$hub/agent.conf" "$@"
}

start_agent() { # HUB
	run_bg "$1" "$KT_BUILD/keyturn-agent" run -c "$KT_TMP/$1/agent.conf"
	wait_for 15 in_session "$1" || fatal "$1 does not get into session: $(tail -n 5 "$KT_TMP/$1.log")"
}
in_session() { ctl --json show "$1" 2>/dev/null | grep -q "\"$1:agent\""; }

field() { # FILE NAME: one field of a certificate
	openssl x509 -in "$1" -noout "-$2" 2>/dev/null | sed 's/^[^=]*=//'
}
fingerprint() { openssl x509 -in "$1" -outform DER 2>/dev/null | sha256sum | cut -c1-64; }

side_by_side() { # OLD NEW
	local name
	printf '   %-12s %-44s %s\n' '' before after
	for name in serial subject enddate; do
		printf '   %-12s %-44.44s %.44s\n' "$name" "$(field "$1" "$name")" "$(field "$2" "$name")"
	done
	printf '   %-12s %-44.40s %.40s\n' fingerprint "$(fingerprint "$1")" "$(fingerprint "$2")"
}

# --- the story ----------------------------------------------------------------------------------------

start_broker() {
	step "A private PKI, and a stock Mosquitto with the plugin"
	run "$KT_PKI" init "$KT_TMP/pki" --trust-domain "$TD" || fatal "no PKI"
	run "$KT_PKI" broker "$KT_TMP/pki" --name localhost,127.0.0.1 || fatal "no broker certificate"
	run "$KT_PKI" claim "$KT_TMP/pki" --batch factory-7 || fatal "no claim certificate"
	(umask 077 && cat "$KT_TMP/pki/claim-factory-7.pem" "$KT_TMP/pki/claim-factory-7.key" >"$KT_TMP/claim.pem")
	PORT=$(free_port)
	CLAIM_PORT=$(free_port)
	write_broker_conf
	printf '   $ %s\n' "$(printable "$KT_BROKER" -c "$KT_TMP/mosquitto.conf") &"
	run_bg broker "$KT_BROKER" -c "$KT_TMP/mosquitto.conf"
	wait_for_socket 10 "$KT_TMP/op.sock" || fatal "the broker does not start: $(tail -n 5 "$KT_TMP/broker.log")"
	wait_for_line 10 "$KT_TMP/broker.log" 'event=plugin.started' ||
		fatal "the plugin does not start: $(tail -n 5 "$KT_TMP/broker.log")"
	grep -o 'event=plugin.started.*' "$KT_TMP/broker.log" | sed 's/^/   /'
	ok "a stock $("$KT_BROKER" -h 2>/dev/null | sed -n 's/^mosquitto version //p') runs the plugin"
	run_bg events "$KT_BUILD/keyturnctl" --unix "$KT_TMP/op.sock" events --follow
}

enrol_by_ticket() {
	step "hub-a enrols with a ticket: one string, usable once"
	agent_conf hub-a
	show_ctl create-device hub-a || fatal "create-device failed"
	# shellcheck disable=SC2016 # a literal $
	printf '   $ keyturnctl create-ticket hub-a > $T/hub-a/ticket\n'
	(umask 077 && ctl create-ticket hub-a --raw >"$KT_TMP/hub-a/ticket") || fatal "create-ticket failed"
	agent hub-a enroll --ticket-file "$KT_TMP/hub-a/ticket" --wait 20 || fatal "hub-a is not enrolled"
	start_agent hub-a
	ok "hub-a has its identity and is in session"
}

enrol_by_key() {
	local key_id
	step "hub-b enrols with a key that was registered beforehand"
	agent_conf hub-b "claim_identity = $KT_TMP/claim.pem"
	key_id=$("$KT_BUILD/keyturn-agent" key-id -c "$KT_TMP/hub-b/agent.conf" 2>"$KT_TMP/hub-b.log") || fatal "key-id failed"
	# shellcheck disable=SC2016 # a literal $
	printf '   $ keyturn-agent key-id -c $T/hub-b/agent.conf\n   %s\n' "$key_id"
	show_ctl create-device hub-b --key-id "$key_id" || fatal "create-device failed"
	agent hub-b enroll --wait 20 || fatal "hub-b is not enrolled"
	start_agent hub-b
	ok "hub-b has its identity and is in session"
}

enrol_by_approval() {
	local key_id
	step "hub-c only asks; an operator approves the key by hand"
	agent_conf hub-c "claim_identity = $KT_TMP/claim.pem"
	run_bg hub-c "$KT_BUILD/keyturn-agent" run -c "$KT_TMP/hub-c/agent.conf"
	wait_for 15 is_pending || fatal "nobody waits for approval: $(tail -n 5 "$KT_TMP/hub-c.log")"
	show_ctl pending
	key_id=$("$KT_BUILD/keyturnctl" --unix "$KT_TMP/op.sock" --json pending |
		grep -o '"keyId":"[0-9a-f]*"' | head -n 1 | cut -d'"' -f4)
	show_ctl approve "$key_id" hub-c || fatal "approve failed"
	wait_for 20 in_session hub-c || fatal "hub-c is not in session: $(tail -n 5 "$KT_TMP/hub-c.log")"
	ok "hub-c has its identity and is in session; a claim certificate alone had given it none"
}
is_pending() { ctl --json pending 2>/dev/null | grep -q '"keyId"'; }

challenge_all() {
	local hub
	step "A challenge: each hub proves, now, that it holds its key"
	for hub in hub-a hub-b hub-c; do
		if show_ctl challenge "$hub" --wait; then
			ok "$hub answered with a signature over a fresh nonce"
		else
			not_ok "$hub answered the challenge"
		fi
	done
}

copy_identity() { cp "$KT_TMP/$1/state/current/identity.pem" "$KT_TMP/$1/before.pem"; }
is_rotated() { # HUB: another certificate is current, and promoted was received
	[ "$(fingerprint "$KT_TMP/$1/state/current/identity.pem")" != "$(fingerprint "$KT_TMP/$1/before.pem")" ] &&
		grep -q "event=rotation.promoted device=$1 " "$KT_TMP/broker.log"
}

rotate_by_pub() {
	step "hub-a is rotated by one MQTT message that any client can send"
	copy_identity hub-a
	# shellcheck disable=SC2016 # a literal $
	run mosquitto_pub --unix "$KT_TMP/op.sock" -i op:demo -q 1 -t '$CONTROL/keyturn/v1' \
		-m '{"commands":[{"command":"rotate","device":"hub-a","correlationData":"demo"}]}'
	wait_for 20 is_rotated hub-a || fatal "hub-a did not rotate: $(tail -n 5 "$KT_TMP/hub-a.log")"
	side_by_side "$KT_TMP/hub-a/before.pem" "$KT_TMP/hub-a/state/current/identity.pem"
	ok "hub-a rolled over beside its live connection, to a key made on the hub"
	check "the hub's hook ran: its other programs can reload" test -e "$KT_TMP/hub-a/reloaded"
}

rotate_by_ctl() {
	step "hub-b is rotated by keyturnctl"
	copy_identity hub-b
	show_ctl rotate hub-b || fatal "rotate failed"
	wait_for 20 is_rotated hub-b || fatal "hub-b did not rotate: $(tail -n 5 "$KT_TMP/hub-b.log")"
	side_by_side "$KT_TMP/hub-b/before.pem" "$KT_TMP/hub-b/state/current/identity.pem"
	ok "hub-b rolled over"
}

# publish_as HUB IDENTITY: one message with the hub's client id and this identity
publish_as() {
	run mosquitto_pub -h localhost -p "$PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$2" --key "$2" \
		-i "$1" -V mqttv5 -q 1 -t "devices/$1/hello" -m hi
}

# Within superseded_drain after the rotation it would be a suspicion: tried until that is over.
is_copy_noticed() {
	grep -q 'event=clone\.alarmed device=hub-a' "$KT_TMP/broker.log" && return
	publish_as hub-a "$KT_TMP/hub-a/before.pem" >/dev/null 2>&1
	return 1
}

refuse_old() {
	step "The retired key is refused, and its use by a copy is noticed"
	if publish_as hub-a "$KT_TMP/hub-a/state/current/identity.pem"; then
		ok "hub-a's new certificate gets in"
	else
		not_ok "hub-a's new certificate gets in"
	fi
	if publish_as hub-a "$KT_TMP/hub-a/before.pem"; then
		not_ok "hub-a's old certificate is refused"
	else
		ok "hub-a's old certificate is refused"
	fi
	if wait_for 10 is_copy_noticed; then
		grep -o 'event=clone.alarmed.*' "$KT_TMP/broker.log" | tail -n 1 | sed 's/^/   /'
		ok "somebody holds a copy of hub-a's old key: clone.alarmed"
	else
		not_ok "the copy is noticed"
	fi
}

revoke_one() {
	step "hub-c is revoked while its session is open"
	show_ctl revoke hub-c --emergency --yes || fatal "revoke failed"
	if wait_for 5 is_out hub-c; then
		ok "hub-c's session is gone"
	else
		not_ok "hub-c's session is gone"
	fi
	if publish_as hub-c "$KT_TMP/hub-c/state/current/identity.pem"; then
		not_ok "hub-c's certificate is refused"
	else
		ok "hub-c's certificate is refused, though it has no end date"
	fi
	show_ctl list
}
is_out() { ! in_session "$1"; }

judge_ledger() {
	step "The ledger: every change, hash-chained"
	show_ctl status
	if run "$KT_BUILD/keyturnctl" audit verify "$KT_TMP/ledger"; then
		ok "the ledger's chain is whole"
	else
		not_ok "the ledger's chain is whole"
	fi
}

leave_running() {
	step "Left running"
	cat <<-END
		   T=$KT_TMP
		   $KT_BUILD/keyturnctl --unix \$T/op.sock list | show hub-a | rotate hub-a | events --follow
		   $KT_BUILD/keyturn-agent status -c \$T/hub-a/agent.conf
		   tail -f \$T/broker.log \$T/hub-a.log
		   end it:  kill ${KT_PIDS[*]}; rm -rf \$T
	END
	KT_KEEP=1
}

say "Keyturn demo"
install_packages || fatal "packages are missing"
say "building (the first time takes a minute) ..."
build_preset dev mosquitto_keyturn keyturnctl keyturn-agent || fatal "the build failed"
make_tmp
start_broker
enrol_by_ticket
enrol_by_key
enrol_by_approval
challenge_all
rotate_by_pub
rotate_by_ctl
refuse_old
revoke_one
judge_ledger
[ "$KEEP" = 0 ] || leave_running
say ""
finish
