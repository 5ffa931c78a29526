#!/bin/bash
# Keyturn beside what a broker had before: dynamic-security, or a password file with an acl file. Who has
# no certificate goes on as he was; what is a device's is nobody else's, with whatever password or right.

# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_operator vera viewer
PLAIN_PORT=$(free_port)
export PLAIN_PORT
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")

# --- a password file and an acl file that gives away too much

(umask 077 && : >"$KT_TMP/passwords")
for user in site root hub-1 hub-1:agent claim op:vera; do
	case $user in
	*:*) # such a name stands in no password file: its colon would end it
		check_fails "mosquitto_passwd takes no user $user" any mosquitto_passwd -b "$KT_TMP/passwords" "$user" right
		;;
	*) mosquitto_passwd -b "$KT_TMP/passwords" "$user" right || fatal 'no password file' ;;
	esac
done
cat >"$KT_TMP/acl" <<'END'
user site
topic readwrite site/#
user root
topic readwrite #
topic readwrite $CONTROL/#
topic readwrite $SYS/#
END
chmod 600 "$KT_TMP/acl"
BROKER_LINES=("password_file $KT_TMP/passwords" "acl_file $KT_TMP/acl")
scene_write
probe "$KT_ROOT/tests/integration/beside.py" files
rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock"

# --- dynamic-security behind our line

DYNSEC=$(find /usr/lib -name mosquitto_dynamic_security.so -print -quit)
[ -n "$DYNSEC" ] || fatal 'no mosquitto_dynamic_security.so'
mosquitto_ctrl dynsec init "$KT_TMP/dynsec.json" root right >"$KT_TMP/dynsec.log" 2>&1 ||
	fatal "mosquitto_ctrl dynsec init: $(cat "$KT_TMP/dynsec.log")"
chmod 600 "$KT_TMP/dynsec.json"
BROKER_LINES=("plugin $DYNSEC" "plugin_opt_config_file $KT_TMP/dynsec.json")
scene_write
scene_start
dynsec() {
	mosquitto_ctrl -h 127.0.0.1 -p "$PLAIN_PORT" -u root -P right dynsec "$@" >>"$KT_TMP/dynsec.log" 2>&1 ||
		fatal "mosquitto_ctrl dynsec $*: $(tail -n 3 "$KT_TMP/dynsec.log")"
}
check 'dynamic-security is served behind us' mosquitto_ctrl -h 127.0.0.1 -p "$PLAIN_PORT" -u root -P right dynsec listRoles
dynsec createRole site
dynsec addRoleACL site publishClientSend 'site/#' allow 1
dynsec addRoleACL site publishClientReceive 'site/#' allow 1
dynsec addRoleACL site subscribePattern 'site/#' allow 1
dynsec createRole all
for kind in publishClientSend publishClientReceive subscribePattern; do
	dynsec addRoleACL all "$kind" '#' allow 1
	dynsec addRoleACL all "$kind" '$CONTROL/#' allow 1
	dynsec addRoleACL all "$kind" 'keyturn/#' allow 1
done
for user in site hub-1 hub-1:agent claim op:vera; do
	dynsec createClient "$user" -p right
	dynsec addClientRole "$user" site
done
dynsec addClientRole root all
scene_stop
rm -f "$KT_TMP/op.sock"
probe "$KT_ROOT/tests/integration/beside.py" dynsec
finish
