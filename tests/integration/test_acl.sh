#!/bin/bash
# Who may say and hear what: every kind of client, of two hubs, on every topic of Keyturn, by publish,
# subscription, wildcard, shared subscription, last will and retained message. Once where the broker behind us
# would deny nearly all else, once where it would allow everything.

# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
ROLES='viewer admin' # every role that there is
export ROLES
for role in $ROLES; do
	scene_operator "$role" "$role"
done
PLAIN_PORT=$(free_port)
export PLAIN_PORT
(umask 077 && : >"$KT_TMP/passwords")
for user in site bob; do
	mosquitto_passwd -b "$KT_TMP/passwords" "$user" right || fatal 'no password file'
done
for kind in topic pattern; do
	printf '%s readwrite #\n%s readwrite $CONTROL/#\n%s readwrite $SYS/#\n' "$kind" "$kind" "$kind"
done >"$KT_TMP/everything"
chmod 600 "$KT_TMP/everything"
KEYTURN_LINES+=('operator = user:bob viewer' 'hello_timeout = 1h' 'claim_idle = 1h'
	'message_rate = 1000' 'message_burst = 10000')
BROKER_LINES+=("password_file $KT_TMP/passwords" 'allow_anonymous true')
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
own_lines=("${KEYTURN_LINES[@]}")

KEYTURN_LINES=("${own_lines[@]}" 'other_acl = allow')
scene_write
probe "$KT_ROOT/tests/integration/acl.py" closed

rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock" "$KT_TMP/broker.log"
KEYTURN_LINES=("${own_lines[@]}" 'device_acl = defer')
BROKER_LINES+=("acl_file $KT_TMP/everything")
scene_write
probe "$KT_ROOT/tests/integration/acl.py" open
finish
