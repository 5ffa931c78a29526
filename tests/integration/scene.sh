# scene.sh - where a story plays: a PKI, both configurations, a running broker with the plugin.
#
# To be sourced after lib.sh and make_tmp:
#
#   scene_pki                 pki/ with broker and claim certificates (claim.pem), the ports, broker_facts
#   KEYTURN_LINES+=('certificate_lifetime = 60s')   more of keyturn.conf
#   BROKER_LINES+=("acl_file $KT_TMP/acl")          more of mosquitto.conf, after our plugin line
#   LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")   more at its end
#   scene_write               writes both (an option of KEYTURN_LINES that stands there replaces ours)
#   scene_start               starts the broker, waits for event=plugin.started; pid in $BROKER
#   scene_stop
#   probe FILE.py [ARG...]    a story's part in Python (probe/scene.py); its checks are counted here
#                             (it may start the broker itself, in place of scene_start: probe/broker.py)
#
# With a build of the sanitizers (KT_BUILD=build/asan) broker and agents report into $KT_TMP/asan.*;
# scene_stop and probe fail for every report.
#
# Listeners: $PORT asks for certificates, $CLAIM_PORT does not, $KT_TMP/op.sock is an admin's socket.
# Log: $KT_TMP/broker.log. Nothing listens on anything but 127.0.0.1.
# shellcheck shell=bash
# shellcheck disable=SC2034 # names that only the callers read

KEYTURN_LINES=()
BROKER_LINES=()
LISTENER_LINES=()
TD=${TD:-scene.example}
BROKER=
SO=$KT_BUILD/mosquitto_keyturn.so

# The stock broker was built without the sanitizers: their run-time has to be there before the plugin.
# Its own leaks are not ours; what the plugin leaks has a frame of the plugin.
BROKER_BEFORE=()
prepare_sanitizers() {
	local library
	library=$(readelf -d "$SO" | grep -oE 'lib[at]san\.so' | head -n 1)
	[ -n "$library" ] || return
	KT_PRELOAD=$(gcc -print-file-name="$library") # for probe/broker.py
	export KT_PRELOAD
	BROKER_BEFORE=(env "LD_PRELOAD=$KT_PRELOAD")
	export TSAN_OPTIONS="log_path=$KT_TMP/asan exitcode=66 history_size=4"
	export ASAN_OPTIONS=log_path=$KT_TMP/asan LSAN_OPTIONS=print_suppressions=0
	export UBSAN_OPTIONS=print_stacktrace=1:log_path=$KT_TMP/asan
}

scene_pki() {
	[ -e "$SO" ] || fatal "mosquitto_keyturn.so is not built in $KT_BUILD"
	prepare_sanitizers
	{
		"$KT_PKI" init "$KT_TMP/pki" --trust-domain "$TD" &&
			"$KT_PKI" broker "$KT_TMP/pki" --name localhost,127.0.0.1 &&
			"$KT_PKI" claim "$KT_TMP/pki" --batch batch-1
	} >"$KT_TMP/pki.log" 2>&1 || fatal "no PKI: $(tail -n 3 "$KT_TMP/pki.log")"
	(umask 077 && cat "$KT_TMP/pki/claim-batch-1.pem" "$KT_TMP/pki/claim-batch-1.key" \
		>"$KT_TMP/claim.pem")
	broker_facts
	PORT=$(free_port)
	CLAIM_PORT=$(free_port)
	export KT_TMP KT_BUILD KT_BROKER PORT CLAIM_PORT TD
}

# scene_operator NAME ROLE: an operator's certificate; NAME.pem holds chain and key, KEYTURN_LINES
# his line.
scene_operator() {
	local line
	line=$("$KT_PKI" operator "$KT_TMP/pki" --name "$1" 2>>"$KT_TMP/pki.log" | grep '^operator') ||
		fatal "no operator certificate for $1"
	(umask 077 && cat "$KT_TMP/pki/operator-$1.pem" "$KT_TMP/pki/operator-$1.key" >"$KT_TMP/$1.pem")
	KEYTURN_LINES+=("${line% *} $2")
}

scene_write() {
	local line name
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
		enroll_retry = 1s
	END
	for line in "${KEYTURN_LINES[@]}"; do
		name=${line%% =*}
		case $name in
		operator | acl) ;; # may stand there several times
		*) sed -i "/^$name = /d" "$KT_TMP/keyturn.conf" ;;
		esac
		printf '%s\n' "$line" >>"$KT_TMP/keyturn.conf"
	done
	grep -q '^acl = ' "$KT_TMP/keyturn.conf" ||
		echo 'acl = readwrite devices/%d/#' >>"$KT_TMP/keyturn.conf"
	chmod 600 "$KT_TMP/keyturn.conf"
	{
		[ "$(id -u)" != 0 ] || echo 'user root'
		cat <<-END
			per_listener_settings false
			allow_anonymous false
			persistence false
			log_dest stderr
			log_type all
			max_packet_size 262144
			set_tcp_nodelay true
			check_retain_source true
			plugin $SO
			plugin_opt_config $KT_TMP/keyturn.conf
		END
		[ "${#BROKER_LINES[@]}" -eq 0 ] || printf '%s\n' "${BROKER_LINES[@]}"
		cat <<-END
			listener $PORT 127.0.0.1
			cafile $KT_TMP/pki/clients.pem
			certfile $KT_TMP/pki/broker.pem
			keyfile $KT_TMP/pki/broker.key
			require_certificate true
			tls_version tlsv1.2
			listener $CLAIM_PORT 127.0.0.1
			certfile $KT_TMP/pki/broker.pem
			keyfile $KT_TMP/pki/broker.key
			tls_version tlsv1.2
			listener 0 $KT_TMP/op.sock
		END
		[ "${#LISTENER_LINES[@]}" -eq 0 ] || printf '%s\n' "${LISTENER_LINES[@]}"
	} >"$KT_TMP/mosquitto.conf"
}

# scene_start [COMMAND...]: what stands before the broker's command line, for example valgrind.
scene_start() {
	local before
	before=$(grep -c 'event=plugin\.started' "$KT_TMP/broker.log" 2>/dev/null)
	run_bg broker "$@" "${BROKER_BEFORE[@]}" "$KT_BROKER" -c "$KT_TMP/mosquitto.conf"
	BROKER=$BG_PID
	wait_for_lines 30 "$KT_TMP/broker.log" 'event=plugin\.started' $((${before:-0} + 1)) ||
		fatal "the plugin does not start: $(tail -n 5 "$KT_TMP/broker.log")"
	wait_for_port 10 "$CLAIM_PORT" || fatal "the broker does not listen"
	wait_for_socket 10 "$KT_TMP/op.sock" || fatal "the operator's socket does not appear"
}

scene_stop() {
	local status=0
	stop_pid "$BROKER" 10 || status=$?
	check_reports
	return "$status"
}

check_reports() {
	local report
	for report in "$KT_TMP"/asan.*; do
		[ -e "$report" ] || continue
		not_ok "$(basename "$report"): a sanitizer's report" "$(head -n 60 "$report")"
		rm -f "$report"
	done
}

probe() {
	local log code=0 last
	log=$(mktemp "$KT_TMP/probe.XXXXXX")
	PYTHONPATH=$KT_ROOT/tests/integration/probe PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -B "$@" </dev/null >"$log" 2>&1 || code=$?
	last=$(tail -n 1 "$log")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		sed '$d' "$log"
		KT_PASSED=$((KT_PASSED + BASH_REMATCH[1]))
		KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
		[ "$code" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || not_ok "$(basename "$1"): exit $code"
	else # it broke off: what it had checked until then is shown, and one failure counted
		sed 's/^/  /' "$log"
		not_ok "$(basename "$1") ran to its end" "exit $code"
	fi
	check_reports
}
