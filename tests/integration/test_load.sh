#!/bin/bash
# Does the stock broker load the plugin with the configuration that we ship, does the plugin survive
# the broker's life, and does a start that must not be come to nothing and say why?

# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2317 # connect and by_socket are called by check
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
make_tmp
broker_facts
TD=example.org
P=$KT_TMP/pki
SO=$(find "$KT_BUILD" -name mosquitto_keyturn.so -type f | head -n 1)
[ -n "$SO" ] || fatal "mosquitto_keyturn.so is not built in $KT_BUILD"
PORT=$(free_port) TICKET_PORT=$(free_port)

mkdir "$KT_TMP/run" "$KT_TMP/db" "$KT_TMP/etc" || fatal 'cannot make directories'
"$KT_PKI" init "$P" --trust-domain "$TD" >"$KT_TMP/pki.log" 2>&1 || fatal 'keyturn-pki init'
"$KT_PKI" broker "$P" --name 127.0.0.1,localhost >>"$KT_TMP/pki.log" 2>&1 ||
	fatal 'keyturn-pki broker'
ALICE=$("$KT_PKI" operator "$P" --name alice 2>>"$KT_TMP/pki.log") || fatal 'keyturn-pki operator'
"$KT_PKI" operator "$P" --name mallory >>"$KT_TMP/pki.log" 2>&1 || fatal 'keyturn-pki operator'

# --- what a broker is started with: the shipped files, other paths -----------------------------------

# substitute FILE: the shipped example on stdout, with the paths of this test.
substitute() {
	sed -e "s|/usr/lib/keyturn/mosquitto_keyturn.so|$SO|" \
		-e "s|/etc/keyturn/pki|$P|; s|/etc/keyturn|$KT_TMP/etc|" \
		-e "s|/run/mosquitto|$KT_TMP/run|; s|/var/lib/mosquitto|$KT_TMP/db|" \
		-e "s|/var/lib/keyturn|$KT_TMP/var|" \
		-e "s|^listener 8883\$|listener $PORT 127.0.0.1|" \
		-e "s|^listener 8884\$|listener $TICKET_PORT 127.0.0.1|" "$1"
}

# fresh: both files as shipped, no state.
fresh() {
	rm -rf "${KT_TMP:?}/var" "$KT_TMP/broker.log"
	mkdir "$KT_TMP/var" || fatal 'cannot make a state directory'
	substitute "$KT_ROOT/plugin/mosquitto.conf.example" >"$KT_TMP/etc/mosquitto.conf"
	substitute "$KT_ROOT/plugin/keyturn.conf" >"$KT_TMP/etc/keyturn.conf"
	printf '%s\n' "$ALICE" >>"$KT_TMP/etc/keyturn.conf"
	[ "$(id -u)" -ne 0 ] || printf 'user root\n' >>"$KT_TMP/etc/mosquitto.conf"
	printf 'log_dest stderr\nlog_type all\n' >>"$KT_TMP/etc/mosquitto.conf"
}

# The port is open before the socket is, and both before the broker minds its signals.
start() {
	local before
	before=$(grep -cs 'version .* running$' "$KT_TMP/broker.log")
	run_bg broker "$KT_BROKER" -c "$KT_TMP/etc/mosquitto.conf"
	wait_for_lines 20 "$KT_TMP/broker.log" 'version .* running$' $((before + 1)) || fatal "the broker does not start: $(tail -n 20 "$KT_TMP/broker.log")"
	BROKER=$BG_PID
}

# refused NAME REGEX: the broker ends by itself, with an error, and says so.
refused() {
	local code
	run_bg broker "$KT_BROKER" -c "$KT_TMP/etc/mosquitto.conf"
	wait_for_exit 20 "$BG_PID"
	code=$?
	case $code in
	0 | 255) not_ok "$1: the broker ends with an error" "exit $code
$(tail -n 5 "$KT_TMP/broker.log")" ;;
	*) ok "$1: the broker ends with an error" ;;
	esac
	check_line "$1: and says why" "$KT_TMP/broker.log" "event=plugin\\.refused .*$2"
	check_eq "$1: and has made no ledger" "$(ls -A "$KT_TMP/var")" ''
	fresh
}

set_option() { # NAME VALUE: in keyturn.conf
	sed -i "s|^$1 = .*|$1 = $2|" "$KT_TMP/etc/keyturn.conf"
}

# --- clients ------------------------------------------------------------------------------------------

# leaf NAME ISSUER: a client certificate of the shape that the plugin makes.
leaf() {
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$KT_TMP/$1.key" 2>/dev/null
	openssl req -new -key "$KT_TMP/$1.key" -subj "/CN=$1" -out "$KT_TMP/$1.csr"
	printf 'subjectAltName=URI:spiffe://%s/device/%s\nextendedKeyUsage=clientAuth\n' "$TD" "$1" \
		>"$KT_TMP/$1.ext"
	openssl x509 -req -in "$KT_TMP/$1.csr" -CA "$P/$2.pem" -CAkey "$P/$2.key" \
		-extfile "$KT_TMP/$1.ext" -days 30 -out "$KT_TMP/$1.pem" 2>/dev/null
	cat "$P/$2.pem" >>"$KT_TMP/$1.pem"
}

connect() { # CERT CLIENT_ID [OPTIONS...]: one connect with a certificate
	local cert=$1 id=$2
	shift 2
	timeout 10 mosquitto_pub -V 5 -h 127.0.0.1 -p "$PORT" --cafile "$P/root.pem" \
		--cert "$cert.pem" --key "$cert.key" -i "$id" -q 1 -t '$CONTROL/keyturn/v1' -m '{}' "$@"
}

by_socket() { # [MESSAGE]
	timeout 10 mosquitto_pub --unix "$KT_TMP/run/keyturn.sock" -i op:me -q 1 \
		-t '$CONTROL/keyturn/v1' -m "${1-{\}}"
}

# --- a life -------------------------------------------------------------------------------------------

fresh
start
check_line 'the plugin starts' "$KT_TMP/broker.log" 'event=plugin\.started .*trust_domain=example\.org'
check_no_line 'the shipped configuration is not refused' "$KT_TMP/broker.log" 'plugin\.refused'
check 'the ledger is there' test -n "$(ls -A "$KT_TMP/var/ledger")"
check_eq 'and is nobody else'"'"'s' "$(stat -c %a "$KT_TMP/var/ledger")" 700

leaf hub-1 issuing
check_fails 'a certificate of ours that the registry does not hold is refused' any \
	connect "$KT_TMP/hub-1" hub-1:agent
check_line 'with a line that says so' "$KT_TMP/broker.log" \
	'event=client\.refused .*reason=cert\.unknown'
check_fails 'under any client id' any connect "$KT_TMP/hub-1" whatever
check_fails 'an operator who is not in the configuration is refused' any \
	connect "$P/operator-mallory" op:mallory
check 'the one who is comes in' connect "$P/operator-alice" op:alice
check_fails 'but not as somebody else' any connect "$P/operator-alice" hub-1:agent
check 'an operator comes in over the socket' by_socket
check_fails 'nobody comes in without anything' any timeout 10 mosquitto_pub -h 127.0.0.1 \
	-p "$TICKET_PORT" --cafile "$P/root.pem" -i visitor -t a -m b
check_fails 'nor under an operator'"'"'s client id' any timeout 10 mosquitto_pub -h 127.0.0.1 \
	-p "$TICKET_PORT" --cafile "$P/root.pem" -i op:alice -t a -m b

# --- SIGHUP: a client that is connected stays, the others still come in
run_bg sub timeout 60 mosquitto_sub --unix "$KT_TMP/run/keyturn.sock" -i op:watch -q 1 -v \
	-t 'keyturn/v1/events/#'
SUB=$BG_PID
wait_for_line 10 "$KT_TMP/broker.log" 'Sending SUBACK to op:watch' ||
	not_ok 'an operator subscribes to events' "$(cat "$KT_TMP/sub.log")"
for _ in 1 2 3; do
	kill -HUP "$BROKER"
	sleep 0.3
done
check 'the broker survives SIGHUP' is_running "$BROKER"
check 'a session survives SIGHUP' is_running "$SUB"
check 'an operator comes in after SIGHUP' by_socket
check 'also with a certificate' connect "$P/operator-alice" op:alice
check_fails 'and the unknown one does not' any connect "$KT_TMP/hub-1" hub-1:agent

# --- what strangers send ends nothing
check 'no JSON to the operators'"'"' topic' by_socket x
check 'nothing to the operators'"'"' topic' timeout 10 mosquitto_pub \
	--unix "$KT_TMP/run/keyturn.sock" -i op:me -q 1 -t '$CONTROL/keyturn/v1' -n
check 'a large message to the operators'"'"' topic' \
	sh -c "head -c 200000 /dev/zero | tr '\\0' a | timeout 10 mosquitto_pub \
	--unix '$KT_TMP/run/keyturn.sock' -i op:me -q 1 -t '\$CONTROL/keyturn/v1' -s"
timeout 10 mosquitto_pub -V 5 --unix "$KT_TMP/run/keyturn.sock" -i op:me -q 1 \
	-t '$CONTROL/keyturn/v1/dev' -m '{}' >/dev/null 2>&1
check 'the broker runs' is_running "$BROKER"
stop_pid "$SUB"
stop_pid "$BROKER" 20
check_eq 'the broker ends with success' "$?" 0
check_line 'and the plugin was told' "$KT_TMP/broker.log" 'event=plugin\.stopped'

# --- again over the same state
start
check_eq 'a second start over the same state' \
	"$(grep -c 'event=plugin\.started' "$KT_TMP/broker.log")" 2
# A second broker over the same registry
sed "s|^listener $PORT .*|listener $(free_port) 127.0.0.1|; s|^listener $TICKET_PORT .*|listener $(free_port) 127.0.0.1|; s|keyturn.sock|second.sock|" \
	"$KT_TMP/etc/mosquitto.conf" >"$KT_TMP/etc/second.conf"
run_bg second "$KT_BROKER" -c "$KT_TMP/etc/second.conf"
wait_for_exit 20 "$BG_PID"
check_eq 'a second broker over the same registry ends' "$(($? != 0 && $? != 255))" 1
check_line 'and says why' "$KT_TMP/second.log" 'event=plugin\.refused err=busy'
stop_pid "$BROKER" 20
check_eq 'the first one ends with success' "$?" 0

# --- what must not start ------------------------------------------------------------------------------
fresh
printf 'plugin %s\nplugin_opt_config %s\n' "$SO" "$KT_TMP/etc/keyturn.conf" \
	>>"$KT_TMP/etc/mosquitto.conf"
cp "$KT_TMP/etc/mosquitto.conf" "$KT_TMP/etc/twice.conf"
refused 'a second plugin line' 'mosquitto\.conf:[0-9]+'

# The broker's file is not what the plugin was shown: the second instance itself refuses.
cp "$KT_TMP/etc/mosquitto.conf" "$KT_TMP/etc/once.conf"
cp "$KT_TMP/etc/twice.conf" "$KT_TMP/etc/mosquitto.conf"
printf 'mosquitto_conf = %s\n' "$KT_TMP/etc/once.conf" >>"$KT_TMP/etc/keyturn.conf"
run_bg broker "$KT_BROKER" -c "$KT_TMP/etc/mosquitto.conf"
wait_for_exit 20 "$BG_PID"
check_line 'a second instance refuses itself' "$KT_TMP/broker.log" \
	'event=plugin\.refused err=exists .*loaded twice'
fresh

sed -i '/^plugin_opt_config/d' "$KT_TMP/etc/mosquitto.conf"
refused 'no plugin_opt_config' 'plugin_opt_config is missing'
sed -i '/^plugin_opt_config/a plugin_opt_colour blue' "$KT_TMP/etc/mosquitto.conf"
refused 'an unknown plugin option' 'unknown plugin_opt_'
sed -i "s|^plugin_opt_config.*|plugin_opt_config $KT_TMP/etc/none|" "$KT_TMP/etc/mosquitto.conf"
refused 'a configuration that is not there' 'etc/none'
LINES=$(wc -l <"$KT_TMP/etc/keyturn.conf")
printf 'colour = blue\n' >>"$KT_TMP/etc/keyturn.conf"
refused 'an unknown option' "keyturn\\.conf:$((LINES + 1))"
sed -i '/^listener 8/,/^tls/s/^require_certificate.*/&\nuse_identity_as_username true/; /^require_certificate true/a use_identity_as_username true' \
	"$KT_TMP/etc/mosquitto.conf"
refused 'a broker that lets certificates in by itself' 'use_identity_as_username'

# --- every other door of the broker's own file: file and line are named, in an included file as well
DYNSEC=$(find /usr/lib -name mosquitto_dynamic_security.so -print -quit)
[ -n "$DYNSEC" ] || fatal 'no mosquitto_dynamic_security.so'
mosquitto_ctrl dynsec init "$KT_TMP/dynsec.json" admin secret >/dev/null 2>&1 || fatal 'mosquitto_ctrl dynsec init'
chmod 600 "$KT_TMP/dynsec.json"

# add_line FILE ADDRESS TEXT...: behind the line that the sed address names; prints the number of the first
add_line() {
	local file=$1 address=$2 line
	shift 2
	line=$(($(sed -n "$address=" "$file" | tail -n 1) + 1))
	sed -i "$((line - 1))r /dev/stdin" "$file" < <(printf '%s\n' "$@")
	printf '%s\n' "$line"
}

# in_conf NAME REGEX ADDRESS TEXT...: mosquitto.conf with these lines there is refused at the first.
in_conf() {
	local name=$1 says=$2 line
	shift 2
	line=$(add_line "$KT_TMP/etc/mosquitto.conf" "$@")
	refused "$name" "etc/mosquitto\\.conf:$line: $says"
}

# in_included NAME REGEX ADDRESS TEXT...: in a file of an include_dir that stands there.
in_included() {
	local name=$1 says=$2 address=$3
	shift 3
	mkdir "$KT_TMP/etc/conf.d"
	printf '%s\n' '# a comment' "$@" >"$KT_TMP/etc/conf.d/more.conf"
	add_line "$KT_TMP/etc/mosquitto.conf" "$address" "include_dir $KT_TMP/etc/conf.d" >/dev/null
	refused "$name, in an included file" "etc/conf\\.d/more\\.conf:2: $says"
	rm -rf "$KT_TMP/etc/conf.d"
}

for setting in use_identity_as_username use_subject_as_username; do
	in_conf "$setting" "$setting true: .*lets in every certificate" /^require_certificate.true/ "$setting true"
done
in_conf use_username_as_clientid 'use_username_as_clientid true: ' /^allow_anonymous/ 'use_username_as_clientid true'
in_included use_username_as_clientid 'use_username_as_clientid true: ' '$' 'use_username_as_clientid true'
# With it, 2.1 takes a plugin and allow_anonymous only below a listener line.
into_listener() {
	sed -i -e '/^per_listener_settings/d' -e '/^allow_anonymous/d' -e '/^plugin/d' "$KT_TMP/etc/mosquitto.conf"
	add_line "$KT_TMP/etc/mosquitto.conf" "/^listener $PORT /" 'allow_anonymous false' "plugin $SO" \
		"plugin_opt_config $KT_TMP/etc/keyturn.conf" >/dev/null
}
into_listener
in_conf per_listener_settings 'per_listener_settings true: ' 1 'per_listener_settings true'
into_listener
in_included per_listener_settings 'per_listener_settings true: ' 1 'per_listener_settings true'
in_conf memory_limit 'memory_limit 100000000: ' /^allow_anonymous/ 'memory_limit 100000000'
in_included memory_limit 'memory_limit 100000000: ' '$' 'memory_limit 100000000'
in_conf 'another plugin before ours' 'plugin: .*asked before Keyturn' /^allow_anonymous/ "plugin $DYNSEC" \
	"plugin_opt_config_file $KT_TMP/dynsec.json"
in_conf 'another auth_plugin before ours' 'auth_plugin: .*asked before Keyturn' /^allow_anonymous/ "auth_plugin $DYNSEC" \
	"auth_opt_config_file $KT_TMP/dynsec.json"
in_included 'another plugin before ours' 'plugin: .*asked before Keyturn' /^allow_anonymous/ "plugin $DYNSEC" \
	"plugin_opt_config_file $KT_TMP/dynsec.json"
in_included 'Keyturn once more' 'plugin: Keyturn is loaded twice' '$' "plugin $SO" "plugin_opt_config $KT_TMP/etc/keyturn.conf"
if [ -n "$HAS_GLOBAL_PLUGIN" ]; then
	in_conf 'another global_plugin before ours' 'global_plugin: .*asked before Keyturn' /^allow_anonymous/ \
		"global_plugin $DYNSEC" "plugin_opt_config_file $KT_TMP/dynsec.json"
fi
sed -i 's/^require_certificate true/require_certificate false/' "$KT_TMP/etc/mosquitto.conf"
refused 'no listener that asks for certificates' 'mosquitto\.conf:[0-9]+: require_certificate: no listener'

set_option issuer_key "$P/none.key"
refused 'a missing key' 'issuer_key: .*/none\.key'
cp "$P/issuing.key" "$KT_TMP/open.key"
chmod 644 "$KT_TMP/open.key"
set_option issuer_key "$KT_TMP/open.key"
refused 'a key that everybody can read' 'issuer_key: .*/open\.key.*0600'
set_option issuer_key "$P/broker.key"
refused 'a key of another certificate' 'err=verify'
cp "$P/issuing.pem" "$KT_TMP/cut.pem"
truncate -s 300 "$KT_TMP/cut.pem"
set_option issuer_cert "$KT_TMP/cut.pem"
refused 'half a certificate' 'issuer_cert: .*/cut\.pem'
set_option issuer_cert "$P/root.pem"
set_option issuer_key "$P/root.key"
refused 'the root as issuing CA' 'offline'
set_option controller_cert "$P/operator-alice.pem"
set_option controller_key "$P/operator-alice.key"
refused 'an operator as controller' 'no controller certificate'
"$KT_PKI" init "$KT_TMP/other" --trust-domain "$TD" >"$KT_TMP/pki.log" 2>&1
set_option controller_cert "$KT_TMP/other/controller-1.pem"
set_option controller_key "$KT_TMP/other/controller-1.key"
refused 'a controller of another root' 'was not issued by root_cert'
set_option trust_domain example.com
sed -i '/^operator = cert:/d' "$KT_TMP/etc/keyturn.conf"
refused 'a controller of another trust domain' 'spiffe://example\.com/controller'
set_option ledger_dir "$KT_TMP/var/state/ledger"
refused 'a ledger inside the state' 'ledger_same_dir'
ln -s "$KT_TMP/var/state" "$KT_TMP/link"
set_option ledger_dir "$KT_TMP/link/../state/x"
refused 'a ledger that only looks as if it lay elsewhere' 'ledger_dir'
set_option state_dir "$KT_TMP/db"
set_option ledger_dir "$KT_TMP/db-link/ledger"
ln -s "$KT_TMP/db" "$KT_TMP/db-link"
refused 'a ledger inside the state by way of a link' 'ledger_same_dir'

# --- what is only warned of
set_option ledger_dir "$KT_TMP/var/state/ledger"
printf 'ledger_same_dir = accept\nmosquitto_conf = %s\nwakeup = off\n' "$KT_TMP/none.conf" \
	>>"$KT_TMP/etc/keyturn.conf"
"$KT_PKI" controller "$P" --number 2 --days 30 >"$KT_TMP/pki.log" 2>&1
set_option controller_cert "$P/controller-2.pem"
set_option controller_key "$P/controller-2.key"
start
check_line 'a broker configuration that cannot be read is warned of' "$KT_TMP/broker.log" \
	'event=config\.warned .*none\.conf'
check_line 'and a certificate that ends' "$KT_TMP/broker.log" \
	'event=config\.warned .*controller_cert ends at 20'
check_line 'wakeup can be off' "$KT_TMP/broker.log" 'event=plugin\.started .*wakeup=off'
check 'an operator comes in without it' by_socket
stop_pid "$BROKER" 20
check_eq 'that broker ends with success' "$?" 0

finish
