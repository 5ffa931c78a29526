#!/bin/bash
# What operators may do and what they are told: every command, both roles, whole batches; and that
# nobody's slip rotates a fleet.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_operator vera viewer
scene_operator alice admin
PLAIN_PORT=$(free_port)
export PLAIN_PORT
(umask 077 && : >"$KT_TMP/passwords")
for user in bob nobody; do
	mosquitto_passwd -b "$KT_TMP/passwords" "$user" right || fatal 'no password file'
done
KEYTURN_LINES+=('operator = user:bob admin' 'other_acl = allow')
BROKER_LINES+=("password_file $KT_TMP/passwords")
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/operators.py"
finish
