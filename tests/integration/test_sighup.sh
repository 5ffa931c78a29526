#!/bin/bash
# SIGHUP, as a log rotation sends it: nobody is disturbed, nobody promoted, and who is refused stays so,
# also in the very moment of it.

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
mosquitto_passwd -b "$KT_TMP/passwords" site right || fatal 'no password file'
printf 'user site\ntopic readwrite site/#\n' >"$KT_TMP/acl"
chmod 600 "$KT_TMP/acl"
BROKER_LINES+=("password_file $KT_TMP/passwords" "acl_file $KT_TMP/acl")
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/sighup.py"
finish
