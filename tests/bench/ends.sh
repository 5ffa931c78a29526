# ends.sh - how long a session outlives its right: revoke, supersede, expire. To be sourced by run.sh.
#
# Each runs once for every number of sessions that are live meanwhile. The programs print their figures
# as lines NAME COUNT P50 P99 MAX in microseconds; what is judged are ratios of them, within one run.
# shellcheck shell=bash
# shellcheck disable=SC2153 # COUNT, SESSIONS: run.sh's

DRAIN_S=10
MAX_KEY_AGE_S=3600
PER_SECOND=50 # moments of expiry and age

declare -A P50=() P99=() FIGURE_MAX=() FIGURE_COUNT=()
FIGURE_NAMES=()
JSON_RUNS=()
JSON_FIGURES=()
LIMITS_RAISED=

# Brokers inherit it: a session is a descriptor.
raise_limits() {
	[ -z "$LIMITS_RAISED" ] || return
	LIMITS_RAISED=1
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge $((SESSIONS[-1] * 2 + COUNT + 100)) ] ||
		fatal "no more than $(ulimit -n) open files here: see ulimit -n"
}

# read_figures FILE
read_figures() {
	local name count p50 p99 max
	FIGURE_NAMES=()
	while read -r name count p50 p99 max; do
		FIGURE_NAMES+=("$name")
		FIGURE_COUNT[$name]=$count P50[$name]=$p50 P99[$name]=$p99 FIGURE_MAX[$name]=$max
	done <"$1"
}

ms() { awk -v us="$1" 'BEGIN { printf "%.3f", us / 1000 }'; }

tell_figures() { # TITLE SESSIONS
	local name text=
	tell "$1, $2 sessions live (milliseconds)"
	for name in "${FIGURE_NAMES[@]}"; do
		tell "$(printf '  %-22s %6d times  p50 %9s  p99 %9s  max %9s' "${name//_/ }" \
			"${FIGURE_COUNT[$name]}" "$(ms "${P50[$name]}")" "$(ms "${P99[$name]}")" \
			"$(ms "${FIGURE_MAX[$name]}")")"
		text+=${text:+,}$(printf '"%s":{"count":%d,"p50":%d,"p99":%d,"max":%d}' "$name" \
			"${FIGURE_COUNT[$name]}" "${P50[$name]}" "${P99[$name]}" "${FIGURE_MAX[$name]}")
	done
	JSON_FIGURES+=("$text")
}

tell_json() { # BENCHMARK
	[ "$JSON" = 1 ] || return
	local IFS=,
	printf '{"benchmark":"%s","unit":"us","runs":[%s]}\n' "$1" "${JSON_RUNS[*]}"
}

end_run() { # SESSIONS
	local IFS=,
	JSON_RUNS+=("{\"sessions\":$1,${JSON_FIGURES[*]}}")
	JSON_FIGURES=()
}

# at_most NAME VALUE LIMIT: both in microseconds
at_most() {
	if [ "$2" -le "$3" ]; then
		ok "$1 ($(ratio "$2" "$3") of it)" >&"$TALK"
	else
		not_ok "$1" "$(ms "$2") ms, and the limit is $(ms "$3") ms" >&"$TALK"
	fi
}

# keyturn_broker NAME [LINE...]: over the fleet NAME; LINEs of keyturn.conf. Its port in $PORT.
keyturn_broker() {
	local name=$1 dir=$KT_TMP/$1
	shift
	PORT=$(free_port)
	plugin_conf "$dir" 'acl = readwrite devices/%d/#' "$@"
	broker_conf "$dir" "$PORT" false "plugin $KT_BUILD/mosquitto_keyturn.so" \
		"plugin_opt_config $dir/keyturn.conf" "plugin $KT_BUILD/tests/bench_kick.so"
	echo "listener 0 $dir/op.sock" >>"$dir/mosquitto.conf"
	start_broker "$name" "$dir" "$PORT"
	wait_for_socket 10 "$dir/op.sock" || fatal "$name: no socket for operators"
}

measured() { # NAME PROGRAM [ARG...]: its figures are read
	local name=$1
	shift
	"$@" >"$KT_TMP/$name.figures" || fatal "$1 broke off, see above"
	read_figures "$KT_TMP/$name.figures"
}

# --- revoke

bench_revoke() {
	local n
	raise_limits
	for n in "${SESSIONS[@]}"; do
		revoke_with "$n"
	done
	tell_json revoke
}

revoke_with() { # SESSIONS
	local n=$1 name=revoke-$1 dir=$KT_TMP/revoke-$1 kick=$KT_TMP/kick-$1 kick_port kick_pid pid
	make_fleet "$name" $((n - 1 + 2 * COUNT)) $((n - 1 + 2 * COUNT)) || fatal 'cannot make a fleet'
	keyturn_broker "$name"
	pid=$BG_PID
	mkdir -p "$kick"
	kick_port=$(free_port)
	broker_conf "$kick" "$kick_port" true "plugin $KT_BUILD/tests/bench_kick.so"
	echo "listener 0 $kick/op.sock" >>"$kick/mosquitto.conf"
	start_broker "kick-$n" "$kick" "$kick_port"
	kick_pid=$BG_PID
	measured "$name" "$KT_BUILD/tests/bench_revoke" "$PORT" "$dir/op.sock" "$kick_port" "$kick/op.sock" \
		"$dir/identities" bench.test "$dir/ledger/fdatasync.bench" "$n" "$COUNT"
	stop_pid "$pid" 60
	stop_pid "$kick_pid" 60
	rm -rf "$dir/ledger" "$dir/state" "$dir/identities"
	tell_figures 'revoke: from the PUBLISH of the command' "$n"
	end_run "$n"
	at_most "at once, $n sessions: closed p99 at most 3 x a bare kick's" "${P99[closed]}" $((3 * P99[kick]))
	at_most "at once, $n sessions: acknowledged p99 at most 3 x one fdatasync's" "${P99[acknowledged]}" \
		$((3 * P99[fdatasync]))
	at_most "with notice, $n sessions: closed p99 at most two ticks after the acknowledgement's" \
		"${P99[notice_closed]}" $((P99[notice_acknowledged] + 2 * P99[tick]))
}

# --- supersede

bench_supersede() {
	local n
	raise_limits
	for n in "${SESSIONS[@]}"; do
		supersede_with "$n"
	done
	tell_json supersede
}

supersede_with() { # SESSIONS
	local n=$1 name=supersede-$1 dir=$KT_TMP/supersede-$1
	make_fleet "$name" $((n + 2 * COUNT)) $((n + 2 * COUNT)) || fatal 'cannot make a fleet'
	keyturn_broker "$name" "superseded_drain = ${DRAIN_S}s"
	measured "$name" "$KT_BUILD/tests/bench_supersede" "$PORT" "$dir/op.sock" "$dir/identities" bench.test \
		"$n" "$COUNT" $((DRAIN_S * 1000))
	stop_pid "$BG_PID" 60
	rm -rf "$dir/ledger" "$dir/state" "$dir/identities"
	tell_figures 'supersede: from confirm, promoted, and the end of the drain' "$n"
	end_run "$n"
	at_most "$n sessions: the old agent is closed, p99 at most two ticks after committed's" \
		"${P99[agent_closed]}" $((P99[acknowledged] + 2 * P99[tick]))
	at_most "$n sessions: the hub's program is closed, p99 at most two ticks after noted's" \
		"${P99[program_closed]}" $((P99[noted] + 2 * P99[tick]))
	at_most "$n sessions: undrained, it is closed, p99 at most a second and two ticks after the drain" \
		"${P99[drained]}" $((1000000 + 2 * P99[tick]))
}

# --- expire

bench_expire() {
	local n
	raise_limits
	for n in "${SESSIONS[@]}"; do
		expire_with ends "$n"
		at_most "$n sessions: expired, closed p99 at most a second and two ticks after the end" \
			"${P99[closed]}" $((1000000 + 2 * P99[tick]))
		expire_with age "$n" "max_key_age = ${MAX_KEY_AGE_S}s"
		at_most "$n sessions: over its age, refused p99 at most a second and two ticks after that moment" \
			"${P99[refused]}" $((1000000 + 2 * P99[tick]))
		end_run "$n"
	done
	tell_json expire
}

# All must have been made and be connected before the first moment: a slow machine gets another try.
expire_with() { # ends|age SESSIONS [LINE...]
	local what=$1 n=$2 name=$1-$2 dir=$KT_TMP/$1-$2 lead code title
	shift 2
	for lead in 1 4 16; do
		code=0
		expire_once "$what" "$n" $((EPOCHSECONDS + lead * (30 + (n + COUNT) / 100))) "$@" || code=$?
		stop_pid "$BG_PID" 60
		rm -rf "$dir"
		[ "$code" = 3 ] || break
	done
	[ "$code" = 0 ] || fatal "bench_expire: exit $code"
	read_figures "$KT_TMP/$name.figures"
	title='age: from the moment that a key reaches max_key_age'
	[ "$what" = age ] || title="expire: from the end of a certificate's last second"
	tell_figures "$title" "$n"
	JSON_FIGURES[-1]="\"$what\":{${JSON_FIGURES[-1]}}"
}

expire_once() { # ends|age SESSIONS FIRST [LINE...]
	local what=$1 n=$2 name=$1-$2 dir=$KT_TMP/$1-$2 first=$3 form
	shift 3
	form=(ends "$n" "$first" "$PER_SECOND")
	[ "$what" = ends ] || form=(aged "$n" $((first - MAX_KEY_AGE_S)) "$PER_SECOND")
	make_fleet "$name" $((n + COUNT)) $((n + COUNT)) "${form[@]}" || fatal 'cannot make a fleet'
	keyturn_broker "$name" "$@"
	"$KT_BUILD/tests/bench_expire" "$what" "$PORT" "$dir/op.sock" "$dir/identities" "$n" "$COUNT" "$first" \
		"$PER_SECOND" >"$KT_TMP/$name.figures"
}
