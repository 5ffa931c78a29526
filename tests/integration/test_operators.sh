#!/bin/bash
# What operators may do and what they are told: every command, every role, whole batches; that
# nobody's slip rotates a fleet; and that operators come and go by command, at once and for good.

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

# certificates that no configuration names: NAME.pem and NAME.fp
certificate() { # NAME FILE
	local line
	line=$("$KT_PKI" operator "$KT_TMP/pki" --name "$1" 2>>"$KT_TMP/pki.log" | grep '^operator') ||
		fatal "no operator certificate for $1"
	grep -o 'sha256:[0-9a-f]*' <<<"$line" | cut -d: -f2 >"$KT_TMP/$2.fp"
	(umask 077 && cat "$KT_TMP/pki/operator-$1.pem" "$KT_TMP/pki/operator-$1.key" >"$KT_TMP/$2.pem")
	rm "$KT_TMP/pki/operator-$1.pem" "$KT_TMP/pki/operator-$1.key"
}
for name in vic rita emil rex ada carol dora; do
	certificate "$name" "$name"
done
certificate carol carol-2
rm -rf "$KT_TMP/state" "$KT_TMP/ledger"
probe "$KT_ROOT/tests/integration/operators_ledger.py"
finish
