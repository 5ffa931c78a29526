#!/bin/bash
# Who comes in at a stock broker, and who does not: certificates that nobody may use, ids and user names
# of devices, credentials that are over, extended authentication. On every kind of listener.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_operator alice admin
scene_operator mallory admin
KEYTURN_LINES[-1]="operator = cert:spiffe://$TD/operator/mallory sha256:$(printf '%064d' 0) admin"
KEYTURN_LINES+=('other_acl = allow')
"$KT_PKI" init "$KT_TMP/other-pki" --trust-domain "$TD" >>"$KT_TMP/pki.log" 2>&1 || fatal 'no other PKI'
(umask 077 && : >"$KT_TMP/passwords")
for user in alice hub-p HUB-P claim; do
	mosquitto_passwd -b "$KT_TMP/passwords" "$user" right || fatal 'no password file'
done
PLAIN_PORT=$(free_port)
export PLAIN_PORT
# Whoever brings no user name is let in by the broker: what is refused here is refused by the plugin.
BROKER_LINES+=('allow_anonymous true' "password_file $KT_TMP/passwords")
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/door.py"
finish
