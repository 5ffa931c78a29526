#!/bin/bash
# What the brokers from 2.0.11 to 2.1 do differently, and what comes out the same for all that: one plugin file
# loads in each, a refusal has the code that this broker can send, a lost connection is noticed.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
PLAIN_PORT=$(free_port)
export PLAIN_PORT
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
(umask 077 && : >"$KT_TMP/passwords")
mosquitto_passwd -b "$KT_TMP/passwords" site right || fatal 'no password file'
printf 'user site\ntopic readwrite site/#\n' >"$KT_TMP/acl"
chmod 600 "$KT_TMP/acl"
BROKER_LINES+=("password_file $KT_TMP/passwords" "acl_file $KT_TMP/acl")

# --- what the plugin needs, the broker has (it would not start): all of 2.0.x is the lint script `exports`

program=$(realpath -e "$(command -v "$KT_BROKER")")
missing=$(comm -23 <(nm -D --undefined-only "$SO" | awk '$1 == "U" && $2 ~ /^mosquitto_/ { print $2 }' | sort) \
	<(nm -D --defined-only "$program" | awk '{ print $3 }' | sort))
check_eq 'no function of the broker is missing' "$missing" ''
say "broker $BROKER_VERSION"

scene_write
probe "$KT_ROOT/tests/integration/versions.py" differences

# --- a setting that the plugin could not see lets certificates in past it

sed '/^use_/d' "$KT_TMP/mosquitto.conf" >"$KT_TMP/other.conf"
KEYTURN_LINES+=("mosquitto_conf = $KT_TMP/other.conf")
rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock"
scene_write
sed -i '/^require_certificate true/a use_identity_as_username true' "$KT_TMP/mosquitto.conf"
probe "$KT_ROOT/tests/integration/versions.py" passed-by
finish
