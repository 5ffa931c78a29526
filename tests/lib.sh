# lib.sh - what run.sh, demo.sh and the integration scripts share. To be sourced by bash.
#
# Owns: the count of checks, the temporary directory, the processes started here, waiting with a
# deadline, free ports, the installation of packages, the build. Ends only processes whose pid it
# recorded; writes only into build/ and the temporary directory. Uses no stdin.
#
#   . "$(dirname "$0")/../lib.sh"
#   make_tmp                                    $KT_TMP, removed at exit
#   run_bg broker mosquitto -c "$KT_TMP/m.conf"   $BG_PID; output in $KT_TMP/broker.log
#   wait_for_line 10 "$KT_TMP/broker.log" 'running$' || fatal "the broker does not start"
#   check 'the root verifies itself' openssl verify -CAfile root.pem root.pem
#   check_eq 'the mode is 0600' "$(stat -c %a root.key)" 600
#   finish                                      prints "N passed, N failed" and exits
# shellcheck shell=bash
# shellcheck disable=SC2034 # names that only the callers read

KT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
KT_BUILD=${KT_BUILD:-$KT_ROOT/build/dev}
# Debian keeps the broker in /usr/sbin, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin
KT_BROKER=${KT_BROKER:-mosquitto}
KT_PKI=$KT_ROOT/certs/keyturn-pki

KT_PASSED=0
KT_FAILED=0
KT_PIDS=()
KT_TMP=
BG_PID=

# --- counting ---------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }

# The script cannot go on: says why, counts as a failure.
fatal() {
	not_ok "$*"
	finish
}

ok() { # NAME
	KT_PASSED=$((KT_PASSED + 1))
	printf 'ok %s\n' "$1"
}

not_ok() { # NAME [DETAIL]
	KT_FAILED=$((KT_FAILED + 1))
	printf 'not ok %s\n' "$1"
	[ -z "${2-}" ] || printf '%s\n' "$2" | sed 's/^/    /'
}

# check NAME COMMAND...: the command succeeds. Its output is shown only if it does not.
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1 </dev/null); then
		ok "$name"
	else
		not_ok "$name" "exit $?: $* ${out:+
$out}"
	fi
}

# check_fails NAME EXIT_CODE COMMAND...: it fails with exactly this code ("any": with any code
# but 0). Its output is in $KT_OUT.
check_fails() {
	local name=$1 want=$2 code=0
	shift 2
	KT_OUT=$("$@" 2>&1 </dev/null) || code=$?
	if [ "$code" = "$want" ] || { [ "$want" = any ] && [ "$code" -ne 0 ]; }; then
		ok "$name"
	else
		not_ok "$name" "exit $code, expected $want: $* ${KT_OUT:+
$KT_OUT}"
	fi
}

check_eq() { # NAME GOT WANT
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got:      $2
expected: $3"
	fi
}

# check_line NAME FILE REGEX: some line of the file matches (grep -E).
check_line() {
	if grep -qE -e "$3" "$2"; then
		ok "$1"
	else
		not_ok "$1" "no line of $2 matches: $3
$(tail -n 20 "$2" 2>&1)"
	fi
}

check_no_line() { # NAME FILE REGEX
	local hit
	if [ ! -r "$2" ]; then
		not_ok "$1" "cannot read $2"
	elif hit=$(grep -nE -e "$3" "$2"); then
		not_ok "$1" "$2: $(printf '%s\n' "$hit" | head -n 5)"
	else
		ok "$1"
	fi
}

# The last line of every script. Nothing ran: that is a failure too.
finish() {
	printf '%d passed, %d failed\n' "$KT_PASSED" "$KT_FAILED"
	[ "$KT_FAILED" -eq 0 ] && [ "$KT_PASSED" -gt 0 ]
	exit
}

# --- temporary directory and processes ----------------------------------------------------------------

# Sets KT_TMP; it and the processes of run_bg end with the script. KT_KEEP=1 leaves both alone.
make_tmp() {
	KT_TMP=$(mktemp -d "${TMPDIR:-/tmp}/keyturn.XXXXXX") || fatal "cannot make a temporary directory"
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

clean_up() {
	local status=$? pid
	trap - EXIT
	if [ "${KT_KEEP:-0}" = 1 ]; then
		exit "$status"
	fi
	for pid in "${KT_PIDS[@]}"; do
		stop_pid "$pid" 5
	done
	[ -z "$KT_TMP" ] || rm -rf -- "$KT_TMP"
	exit "$status"
}

# run_bg NAME COMMAND...: in the background, output to $KT_TMP/NAME.log (appended), pid in $BG_PID.
run_bg() {
	local log=$KT_TMP/$1.log
	shift
	"$@" >>"$log" 2>&1 </dev/null &
	BG_PID=$!
	KT_PIDS+=("$BG_PID")
}

is_running() { # PID: alive and not a zombie
	local state
	state=$(ps -o stat= -p "$1" 2>/dev/null) || return 1
	[ "${state#Z}" = "$state" ]
}

# stop_pid PID [SECONDS]: SIGTERM, SIGKILL after the deadline; waits; forgets the pid. Returns the
# exit code of the process. Only for children of this script.
stop_pid() {
	local pid=$1 status=0 kept=() p
	if is_running "$pid"; then
		kill -TERM "$pid" 2>/dev/null
		wait_for "${2:-10}" is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
	fi
	wait "$pid" 2>/dev/null || status=$?
	forget_pid "$pid"
	return "$status"
}

# kill_pid PID: SIGKILL at once, as a power cut would; waits and forgets the pid.
kill_pid() {
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	forget_pid "$1"
}

forget_pid() {
	local kept=() p
	for p in "${KT_PIDS[@]}"; do
		[ "$p" = "$1" ] || kept+=("$p")
	done
	KT_PIDS=("${kept[@]}")
}

is_gone() { ! is_running "$1"; }

# run_led NAME OUT ERR COMMAND...: a program that leads a part of this script and ends with a line of counts. Its story is
# told by the script's own tell, its counts are added here. A child that is waited for, so that a signal is handled at once.
run_led() {
	local name=$1 out=$2 err=$3 code last
	shift 3
	"$@" </dev/null >"$out" 2>"$err" &
	KT_PIDS+=($!)
	wait $!
	code=$?
	forget_pid $!
	last=$(tail -n 1 "$out")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		tell "$(sed '$d' "$out")"
		KT_PASSED=$((KT_PASSED + BASH_REMATCH[1])) KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
	else
		tell "$(cat "$out")"
		not_ok "$name came to its end (exit $code)" "$(tail -n 20 "$err")" >&"${TALK:-1}"
	fi
}

# --- waiting ------------------------------------------------------------------------------------------

# wait_for SECONDS COMMAND...: until the command succeeds; false after the deadline.
wait_for() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1 </dev/null; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# wait_for_line SECONDS FILE REGEX (grep -E)
wait_for_line() { wait_for "$1" grep -qE -e "$3" "$2"; }

# wait_for_lines SECONDS FILE REGEX COUNT: at least so many lines match.
wait_for_lines() { wait_for "$1" has_lines "$2" "$3" "$4"; }
has_lines() { [ "$(grep -cE -e "$2" "$1")" -ge "$3" ]; }

# wait_for_port SECONDS PORT: something listens on 127.0.0.1:PORT. Only the kernel's table is
# read: no connection is made that a log would show.
wait_for_port() { wait_for "$1" is_listening "$2"; }
is_listening() { [ -n "$(ss -Hltn "sport = :$1")" ]; }

# wait_for_socket SECONDS PATH: a Unix socket has appeared.
wait_for_socket() { wait_for "$1" test -S "$2"; }

# wait_for_exit SECONDS PID: a child has ended; its exit code is the result, 255 after the deadline.
wait_for_exit() {
	wait_for "$1" is_gone "$2" || return 255
	local status=0
	wait "$2" 2>/dev/null || status=$?
	forget_pid "$2"
	return "$status"
}

# free_port: a TCP port of 127.0.0.1 that nobody listens on, below the range of outgoing
# connections, so that none of those takes it before its owner starts.
free_port() {
	local port try
	for try in {1..200}; do
		port=$((10000 + (RANDOM * 32768 + RANDOM + BASHPID) % 22000))
		if ! is_listening "$port"; then
			printf '%s\n' "$port"
			return
		fi
	done
	return 1
}

# --- the broker -----------------------------------------------------------------------------------------

# What this broker does otherwise than others, as variables: see integration/probe/version.py.
broker_facts() {
	local facts
	facts=$(KT_BROKER=$KT_BROKER PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -B \
		"$KT_ROOT/tests/integration/probe/version.py" 2>&1) || fatal "$KT_BROKER: $facts"
	eval "$facts"
}

# --- packages and build -------------------------------------------------------------------------------

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

# Prints the packages of tests/packages.txt that are missing. "a|b": one of them will do.
missing_packages() {
	local line name found
	while read -r line; do
		line=${line%%#*} line=${line// /}
		[ -n "$line" ] || continue
		found=
		for name in ${line//|/ }; do
			if is_installed "$name"; then
				found=1
			fi
		done
		[ -n "$found" ] || printf '%s\n' "$line"
	done <"$KT_ROOT/tests/packages.txt"
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n -- "$@"
	fi
}

# install_packages: only what is missing, as root or with sudo. LOG is shown if it fails.
install_packages() {
	local missing name line names=() log
	command -v dpkg-query >/dev/null || {
		say "not a Debian system: the programs of tests/packages.txt are taken as given"
		return 0
	}
	missing=$(missing_packages)
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
		say "missing packages, and neither root nor sudo (without a password) to install them:"
		say "  apt-get install ${missing//$'\n'/ }"
		return 1
	fi
	log=$(mktemp) || return 1
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 </dev/null ||
		{ cat "$log"; rm -f "$log"; return 1; }
	for line in $missing; do # the first of the alternatives that this release has
		for name in ${line//|/ }; do
			if apt-cache show "$name" >/dev/null 2>&1; then
				names+=("$name")
				continue 2
			fi
		done
		say "no such package in this release: $line"
		rm -f "$log"
		return 1
	done
	say "installing: ${names[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		"${names[@]}" >"$log" 2>&1 </dev/null || { tail -n 30 "$log"; rm -f "$log"; return 1; }
	rm -f "$log"
}

# build_preset NAME [TARGET...]: configure and build; the output is shown only if that fails.
build_preset() {
	local preset=$1 log=$KT_ROOT/build/$1.log
	shift
	mkdir -p "$KT_ROOT/build" || return 1
	(cd "$KT_ROOT" && cmake --preset "$preset" &&
		cmake --build --preset "$preset" ${1:+--target "$@"}) >"$log" 2>&1 </dev/null || {
		grep -nE 'error|FAILED|Error' "$log" | head -n 20
		tail -n 20 "$log"
		return 1
	}
}
