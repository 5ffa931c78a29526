#!/bin/bash
# Does what README and docs/ tell people to do work, and does every test they name exist?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2016 # backquotes of Markdown
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

# block FILE MARK: the fenced block behind "<!-- MARK -->"
block() {
	awk -v mark="<!-- $2 -->" '$0 == mark { on = 1; next }
		on && /^```/ { if (in_it) exit; in_it = 1; next }
		in_it { print }' "$1"
}

# --- every file and every test that a page names exists ---------------------------------------------------------------

named=0
while IFS=: read -r page path; do
	named=$((named + 1))
	compgen -G "$KT_ROOT/$path" >/dev/null || not_ok "$page names $path" 'there is no such file'
done < <(cd "$KT_ROOT" && grep -oE '`(tests|plugin|agent|common|certs|docs)/[A-Za-z0-9_./*-]+' ./*.md docs/*.md |
	tr -d '`' | sort -u)
check "all $named files that the pages name exist" test "$named" -gt 40
sentences=0
while read -r file names; do
	for name in ${names//,/ }; do
		sentences=$((sentences + 1))
		grep -qE "(^|[^a-z_])$name\\(" "$KT_ROOT/$file" || not_ok "$file has $name" 'it has not'
	done
done < <(grep -oE '`tests/unit/[a-z_/]+\.c`: [a-z0-9_]+(, [a-z0-9_]+)*' "$KT_ROOT/README.md" "$KT_ROOT"/docs/*.md |
	sed -E 's/^[^`]*`//; s/`: / /')
check "all $sentences tests that the pages name exist" test "$sentences" -gt 15

# --- the README's recipe for an existing broker -----------------------------------------------------------

# In a directory instead of the system: other paths, free ports, no service manager.
ROOT=$KT_TMP/root
PORT=$(free_port)
CLAIM_PORT=$(free_port)
transplant() {
	local owner='s/ -o mosquitto//'
	[ "$(id -u)" != 0 ] || owner=
	sed -E "s#(^|[ '=/:])(/etc|/usr|/var|/run|/root)(/|\$|[ ,])#\\1$ROOT\\2\\3#g; $owner
		s/\\b8883\\b/$PORT/g; s/\\b8884\\b/$CLAIM_PORT/g; s/broker\\.example\\.org/localhost/g"
}
mkdir -p "$ROOT"/{etc/mosquitto/conf.d,etc/keyturn,usr,var/lib,run/mosquitto,root}
chmod 755 "$KT_TMP"
[ "$(id -u)" != 0 ] || chown mosquitto "$ROOT/run/mosquitto"
check 'what is built installs' cmake --install "$KT_BUILD" --prefix "$ROOT/usr"
find "$ROOT/usr/share/doc" -type f | while read -r file; do
	transplant <"$file" >"$KT_TMP/file" && cat "$KT_TMP/file" >"$file"
done
block "$KT_ROOT/README.md" 'recipe: broker' | transplant >"$KT_TMP/recipe"
check_eq 'the recipe is ten lines' "$(wc -l <"$KT_TMP/recipe")" 10
{
	echo 'set -e'
	grep -vE '^(cmake|systemctl|keyturnctl) ' "$KT_TMP/recipe"
} >"$KT_TMP/recipe.sh"
check 'the recipe runs' env "PATH=$ROOT/usr/sbin:$ROOT/usr/bin:$PATH" bash "$KT_TMP/recipe.sh"
{ # as Debian's mosquitto.conf
	echo "persistence true"
	echo "persistence_location $ROOT/var/lib/"
	echo "log_dest stderr"
	echo "include_dir $ROOT/etc/mosquitto/conf.d"
} >"$ROOT/etc/mosquitto/mosquitto.conf"
[ "$(id -u)" != 0 ] || chown mosquitto "$ROOT/var/lib"
run_bg recipe "$KT_BROKER" -c "$ROOT/etc/mosquitto/mosquitto.conf"
RECIPE=$BG_PID
check 'a broker with it starts' wait_for_line 20 "$KT_TMP/recipe.log" 'event=plugin\.started .*trust_domain=example\.org'
check 'and listens for operators' wait_for_socket 10 "$ROOT/run/mosquitto/keyturn.sock"
CTL=("$ROOT/usr/bin/keyturnctl" --unix "$ROOT/run/mosquitto/keyturn.sock")
check 'keyturnctl status answers' wait_for 5 "${CTL[@]}" status

# --- the README's recipe for a hub ---------------------------------------------------------------------------

check 'the operator registers a hub' "${CTL[@]}" create-device hub-17
(umask 077 && "${CTL[@]}" create-ticket hub-17 >"$ROOT/ticket" 2>/dev/null)
block "$KT_ROOT/README.md" 'recipe: hub' | transplant >"$KT_TMP/hub"
check 'the recipe is at most ten lines' test "$(wc -l <"$KT_TMP/hub")" -le 10
{
	echo 'set -e'
	grep -vE '^(cmake|systemctl|keyturn-agent status)' "$KT_TMP/hub" |
		sed "s/ -o keyturn//; s/ && chown keyturn .*//; s/^runuser -u keyturn -- //
			s#^(umask.*cat > #(umask 077 \\&\\& cat <$ROOT/ticket > #
			s#keyturn-agent enroll#& -c $ROOT/etc/keyturn/keyturn-agent.conf#"
	# the state's place is built in
} >"$KT_TMP/hub.sh"
sed -i "/^echo 'broker/a echo 'state_dir = $ROOT/var/lib/hub' >> $ROOT/etc/keyturn/keyturn-agent.conf" "$KT_TMP/hub.sh"
check 'the recipe enrols a hub' env "PATH=$ROOT/usr/sbin:$ROOT/usr/bin:$PATH" bash "$KT_TMP/hub.sh"
check 'whose identity is where the README says' openssl x509 -noout -in "$ROOT/var/lib/hub/current/identity.pem"

# --- the recipes for backup and restore ------------------------------------------------------------------------

# recipe MARK: the block of OPERATIONS, in that directory, without the service manager
recipe() {
	block "$KT_ROOT/docs/OPERATIONS.md" "recipe: $1" | transplant | grep -v '^systemctl ' |
		sed "s#keyturnctl #&--config $ROOT/etc/keyturn/keyturn.conf #" >"$KT_TMP/$1.sh"
	[ "$(id -u)" = 0 ] || sed -i 's/^runuser -u mosquitto -- //' "$KT_TMP/$1.sh"
	env "PATH=$ROOT/usr/bin:$PATH" bash -e "$KT_TMP/$1.sh"
}
mkdir -p "$ROOT/var/backups"
chmod 755 "$ROOT/var" "$ROOT/var/backups"
check 'OPERATIONS makes a backup' recipe backup
check 'which holds a ledger' test -s "$ROOT/var/backups/keyturn/1/ledger.kt"
stop_pid "$RECIPE"
check 'OPERATIONS puts it back' recipe restore
check 'and keeps what was there' test -s "$ROOT/var/lib/keyturn/ledger/ledger.kt.before-restore-1"
check_eq 'for the user whose the ledger is' "$(stat -c %U "$ROOT/var/lib/keyturn/ledger/ledger.kt")" \
	"$(stat -c %U "$ROOT/var/lib/keyturn/ledger")"
for page in keyturn-agent.8 keyturn-agent.conf.5 keyturn-plugin.5 keyturn-pki.8 keyturnctl.1; do
	check "$page is installed" test -s "$ROOT/usr/share/man/man${page##*.}/$page"
done
check 'so is the service' test -s "$ROOT/usr/lib/systemd/system/keyturn-agent.service"

# --- the openssl.cnf of OPERATIONS ---------------------------------------------------------------------------

tickets() {
	sleep 1 | timeout 10 openssl s_client -connect "localhost:$CLAIM_PORT" -tls1_3 \
		-CAfile "$KT_TMP/pki/root.pem" 2>/dev/null | grep -c 'New Session Ticket arrived'
}
scene_pki
scene_write
block "$KT_ROOT/docs/OPERATIONS.md" 'check: openssl-cnf' >"$KT_TMP/openssl.cnf"
check_line 'OPERATIONS shows an openssl.cnf' "$KT_TMP/openssl.cnf" '^NumTickets = 0$'
scene_start
check_eq 'without it a client gets two tickets' "$(tickets)" 2
scene_stop
scene_start env "OPENSSL_CONF=$KT_TMP/openssl.cnf"
check_eq 'with it none' "$(tickets)" 0
scene_stop
finish
