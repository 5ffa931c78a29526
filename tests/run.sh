#!/bin/bash
# Every check of the project: installs what is missing, builds, runs the stages, and ends with one
# line "N passed, N failed" over all of them. See tests/README.md.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

STAGES='lint unit sim integration fleet model tidy selftest unit-asan integration-asan fuzz static tsan crash faults mutants'

usage() {
	cat <<'USAGE'
usage: tests/run.sh [--only NAME] [--without NAME]... [--broker PATH] [--long]

--only NAME    one stage (lint, tidy, selftest, unit, unit-asan, sim, model, integration, integration-asan, fleet, fuzz, static,
               tsan, crash, faults, mutants), or,
               where NAME is none of them, the lint scripts, unit tests, stories and fuzz targets whose name contains it
--without NAME not this stage, or not this lint script
--broker PATH  the mosquitto that the stories run (default: the one in PATH)
--long         a minute of libFuzzer per target instead of the corpora alone, the long form of stories that have one,
               those under valgrind and the thread sanitizer, gcc -fanalyzer and cppcheck, every crash point, many faults and
               every mutant
USAGE
}

LINTS='boundaries banned scripts format suppressions threats mutants exports hardening'

only='' without=' ' fuzz_s=5
while [ $# -gt 0 ]; do
	case $1 in
	--only)
		[ -n "${2-}" ] || { usage >&2; exit 2; }
		only=$2
		shift
		;;
	--without)
		case " $STAGES $LINTS " in
		*" ${2:-none} "*) without+="$2 " ;;
		*)
			say "--without '${2-}': neither a stage nor a lint script" >&2
			exit 2
			;;
		esac
		shift
		;;
	--broker)
		if [ ! -f "${2-}" ] || [ ! -x "$2" ]; then
			say "--broker '${2-}': not a program" >&2
			exit 2
		fi
		KT_BROKER=$(realpath -e -- "$2")
		shift
		;;
	--long)
		fuzz_s=60
		export KT_LONG=1
		;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
export KT_BROKER
filter=
case " $STAGES " in
*" $only "*) [ -z "$only" ] || STAGES=$only ;;
*) filter=$only ;;
esac

add() { # PASSED FAILED
	KT_PASSED=$((KT_PASSED + $1))
	KT_FAILED=$((KT_FAILED + $2))
}

# The counts of a script's last line "N passed, N failed"; one failure if it has none, or if its
# exit code contradicts it.
add_counts() { # NAME LOG EXIT_CODE
	local last
	last=$(tail -n 1 "$2")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		add "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
		if [ "$3" -ne 0 ] && [ "${BASH_REMATCH[2]}" -eq 0 ]; then
			not_ok "$1 (exit $3)" "$(tail -n 20 "$2")"
		fi
	else
		not_ok "$1 (exit $3, no line of counts)" "$(tail -n 20 "$2")"
	fi
}

is_left_out() { # NAME
	[[ $without == *" $1 "* ]]
}

is_to_come() { # STAGE: in a run of all of them
	[[ -z $filter && " $STAGES " == *" $1 "* ]] && ! is_left_out "$1"
}

matches() { # NAME
	[[ -z $filter || $1 == *"$filter"* ]]
}

# Kernels with 32 bits of address randomness break the sanitizers of older compilers now and then.
plain_addresses() {
	if setarch "$(uname -m)" -R true 2>/dev/null; then
		setarch "$(uname -m)" -R "$@"
	else
		"$@"
	fi
}

# each N FUNCTION ARG...: FUNCTION ARG for every ARG, N at a time; the next one starts when any has ended.
each() {
	local free=$KT_TMP/free.$2 function=$2 arg pids=() i
	mkfifo "$free"
	exec 9<>"$free"
	rm "$free"
	for ((i = 0; i < $1; i++)); do
		echo >&9
	done
	shift 2
	for arg in "$@"; do
		read -r -u 9
		{ "$function" "$arg" 9>&-; echo >&9; } &
		pids+=($!)
	done
	wait "${pids[@]}"
	exec 9>&-
}

# beside NAME COMMAND...: what only computes, at low priority: the stories mostly wait. Once; await NAME waits for it. Its
# output is $KT_TMP/beside.NAME, its exit code is await's.
declare -A BESIDE=()
beside() {
	local name=$1
	shift
	[ -z "${BESIDE[$name]-}" ] || return 0
	{
		renice -n 15 "$BASHPID" >/dev/null 2>&1
		"$@" >"$KT_TMP/beside.$name" 2>&1
	} &
	BESIDE[$name]=$!
}

await() { # NAME
	wait "${BESIDE[$1]}"
}

# need_build PRESET TARGET...: once per preset; false if it does not build (counted once).
declare -A BUILT=()
need_build() {
	if [ -z "${BUILT[$1]-}" ]; then
		[ -n "${BESIDE[build-$1]-}" ] || say "building: preset $1"
		beside "build-$1" build_preset "$@"
		if await "build-$1"; then
			BUILT[$1]=yes
		else
			BUILT[$1]=no
			not_ok "build with preset $1" "$(cat "$KT_TMP/beside.build-$1")"
		fi
	fi
	[ "${BUILT[$1]}" = yes ]
}

# --- stages -----------------------------------------------------------------------------------------

lint_script() { # NAME: into $KT_TMP/lint.NAME and $KT_TMP/lint.NAME.code
	local log=$KT_TMP/lint.$1 code=0
	bash "$KT_ROOT/tests/lint/run.sh" "$KT_ROOT/build/dev" "$1" >"$log" 2>&1 || code=$?
	echo "$code" >"$log.code"
}

report_lint() { # NAME...
	local name
	for name in "$@"; do
		sed '$d' "$KT_TMP/lint.$name"
		add_counts "lint $name" "$KT_TMP/lint.$name" "$(cat "$KT_TMP/lint.$name.code")"
	done
}

lint_all() { # NAME...: those that match
	local name names=()
	for name in "$@"; do
		! matches "$name" || is_left_out "$name" || names+=("$name")
	done
	[ "${#names[@]}" -gt 0 ] || return
	need_build dev || return
	each "$(nproc)" lint_script "${names[@]}"
	report_lint "${names[@]}"
}

stage_lint() {
	# shellcheck disable=SC2086 # names are words
	lint_all $LINTS
}

lint_beside() { # NAME
	matches "$1" || return
	need_build dev || return
	beside "$1" lint_script "$1"
	await "$1"
	report_lint "$1"
}

stage_tidy() {
	lint_beside tidy
}

# Can each lint script fail?
stage_selftest() {
	lint_beside selftest
}

# The analysers that take minutes: with --long, or by name.
stage_static() {
	if [ -z "$filter" ]; then
		[ "${KT_LONG-}" = 1 ] || [ "$only" = static ] || return 0
	fi
	lint_all analyzer clang_analyzer cppcheck
}

run_ctest() { # PRESET [OPTION...]
	local log=$KT_TMP/ctest code=0 failed total
	need_build "$1" || return
	[ -z "$filter" ] || set -- "$@" -R "$filter"
	(cd "$KT_ROOT" && plain_addresses ctest --preset "$@" -j "$(nproc)" --timeout 300 >"$log" 2>&1) || code=$?
	if grep -q 'No tests were found' "$log"; then
		[ -n "$filter" ] || not_ok "unit tests of preset $1" 'there are none'
		return
	fi
	if [[ $(grep -E 'tests? failed out of' "$log") =~ ([0-9]+)\ tests?\ failed\ out\ of\ ([0-9]+) ]]; then
		failed=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
		add $((total - failed)) "$failed"
		say "$((total - failed)) of $total test programs passed"
		[ "$failed" -eq 0 ] || sed 's/^/    /' "$log" | tail -n 100
	else
		not_ok "ctest of preset $1 (exit $code)" "$(tail -n 30 "$log")"
	fi
}

# The corpora are stage fuzz's, where that one runs.
stage_unit() {
	if [ -z "$filter" ] && [[ " $STAGES " == *' fuzz '* ]]; then
		run_ctest dev -E '^fuzz\.'
	else
		run_ctest dev
	fi
}

stage_unit_asan() {
	if [ -n "$filter" ] && [ "${BUILT[dev]-}" = yes ] &&
		(cd "$KT_ROOT" && ctest --preset dev -N -R "$filter") | grep -q 'Total Tests: 0'; then
		return
	fi
	# a power cut at each of some thousand calls: the same code a thousand times, two minutes under the sanitizers
	if [ -n "$filter" ] || [ "${KT_LONG-}" = 1 ]; then
		run_ctest asan
	else
		run_ctest asan -E agent.identity_crash
	fi
}

# The seeds that failed once, and fresh ones: others for every commit, the same for every run of one.
stage_sim() {
	local log=$KT_TMP/sim code=0 first=1 count=2000
	matches sim || return
	[ "${KT_LONG-}" != 1 ] || count=20000
	need_build dev || return
	bash "$KT_ROOT/tests/sim.sh" --known >"$log" 2>&1 || code=$?
	grep -v '^ok ' "$log" | sed '$d'
	add_counts 'sim (seeds that failed once)' "$log" "$code"
	first=$((16#$(git -C "$KT_ROOT" rev-parse --short=8 HEAD 2>/dev/null || echo 1)))
	say "seeds $first..$((first + count - 1))"
	code=0
	bash "$KT_ROOT/tests/sim.sh" --seeds "$first..$((first + count - 1))" --no-cells >"$log" 2>&1 || code=$?
	grep -E '^seed|^[0-9]+ seeds| 0$' "$log" | grep -v '^  never '
	add_counts sim "$log" "$code"
}

run_model() {
	bash "$KT_ROOT/tests/model.sh"
}

stage_model() {
	local code=0
	matches model || return
	beside model run_model
	await model || code=$?
	sed '$d' "$KT_TMP/beside.model"
	add_counts model "$KT_TMP/beside.model" "$code"
}

# One story: its output, exit code and seconds are files, for report_story to count.
run_story() { # NAME: with $story_suffix, which says what it runs under
	local log=$KT_TMP/story.$1$story_suffix code=0 limit_s=300 before=$SECONDS
	[ "${KT_LONG-}" != 1 ] || limit_s=1800
	case $1$story_suffix in # many times slower than the rest
	valgrind | *-tsan) limit_s=1800 ;;
	esac
	plain_addresses timeout -k 10 "$limit_s" bash "$KT_ROOT/tests/integration/test_$1.sh" >"$log" 2>&1 || code=$?
	echo "$code" >"$log.code"
	echo $((SECONDS - before)) >"$log.s"
}

report_story() { # NAME
	local log=$KT_TMP/story.$1
	say "$1: $(tail -n 1 "$log") ($(cat "$log.s") s)"
	awk '/^ *not ok / { bad = 1 } /^ *ok / { bad = 0 } bad && !/ passed, / { print "    " $0 }' "$log"
	add_counts "$1" "$log" "$(cat "$log.code")"
}

# Four at a time: each spends most of its time waiting for its own broker.
run_stories() { # SUFFIX NAME...: the environment is the caller's
	local story_suffix=$1 name
	shift
	each 4 run_story "$@"
	for name in "$@"; do
		report_story "$name$story_suffix"
	done
}

stage_integration() {
	local script name names=()
	for script in "$KT_ROOT"/tests/integration/test_*.sh; do
		name=$(basename "$script" .sh)
		name=${name#test_}
		case $name in # minutes: with --long (threads: as a part of tsan), or by name
		valgrind) [ -n "$filter" ] || [ "${KT_LONG-}" = 1 ] || continue ;;
		threads) [ -n "$filter" ] || continue ;;
		esac
		! matches "$name" || names+=("$name")
	done
	[ "${#names[@]}" -gt 0 ] || return
	need_build dev || return
	if is_to_come unit-asan || is_to_come integration-asan; then
		beside build-asan build_preset asan
	fi
	! is_to_come tidy || beside tidy lint_script tidy
	! is_to_come selftest || beside selftest lint_script selftest
	! is_to_come model || beside model run_model
	run_stories '' "${names[@]}"
}

# A hundred hubs that enrol, hold, rotate, and lose their connections all at once. A thousand with --long. Then fewer of
# which some do not do as they should. Then campaigns over as many.
stage_fleet() {
	local scenario options test log=$KT_TMP/fleet code=0 hubs=100
	matches fleet || return
	[ "${KT_LONG-}" != 1 ] || hubs=1000
	need_build dev || return
	for test in fleet/test_figures bench/test_bench bench/test_measure; do
		code=0
		PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/fleet:$KT_ROOT/tests/integration/probe /usr/bin/python3 -B \
			"$KT_ROOT/tests/$test.py" >"$log" 2>&1 || code=$?
		grep -v '^ok ' "$log" | sed '$d'
		add_counts "$test" "$log" "$code"
	done
	for scenario in enrol hold rotate storm misfits; do
		code=0 options=(--hubs "$hubs" --scenario "$scenario" --seconds 1)
		[ "$scenario" != misfits ] ||
			options=(--hubs $((hubs * 2 / 5)) --scenario rotate --offline 20 --slow 10 --lost 20 --clone 15)
		timeout -k 10 3600 bash "$KT_ROOT/tests/fleet.sh" "${options[@]}" >"$log" 2>&1 || code=$?
		grep -v '^ok ' "$log" | sed '$d'
		add_counts "fleet $scenario" "$log" "$code"
	done
	for scenario in healthy failing killed; do
		code=0 options=(--hubs "$hubs")
		[ "$scenario" != failing ] || options+=(--failing 5)
		[ "$scenario" != killed ] || options+=(--kill)
		timeout -k 10 3600 bash "$KT_ROOT/tests/campaign.sh" "${options[@]}" >"$log" 2>&1 || code=$?
		grep -v '^ok ' "$log" | sed '$d'
		add_counts "campaign $scenario" "$log" "$code"
	done
}

# A hub's whole life, and what the plugin is told at its worst, with the plugin (in the stock broker) and
# the agent under the sanitizers.
stage_integration_asan() {
	local name names=()
	for name in agent messages enrol rotation revoke ctl audit; do
		! matches "$name-asan" || names+=("$name")
	done
	[ "${#names[@]}" -gt 0 ] || return
	need_build asan || return
	KT_BUILD=$KT_ROOT/build/asan run_stories -asan "${names[@]}"
}

# What has threads, under the thread sanitizer: the plugin's workers, writer and waker without a broker and in the
# stock one, the agent's links. With --long, or with --only tsan.
stage_tsan() {
	local name tests=(worker waker store transport_paho transport_paho_port)
	[ "${KT_LONG-}" = 1 ] || [ "$only" = tsan ] || return 0
	[ -z "$filter" ] || return 0
	need_build tsan keyturn-agent mosquitto_keyturn keyturn-threads link_storm link_kicked "${tests[@]/#/test_}" || return
	for name in "${tests[@]}"; do
		check "unit test $name under the thread sanitizer" plain_addresses \
			timeout -k 10 600 "$KT_ROOT/build/tsan/tests/test_$name"
	done
	KT_BUILD=$KT_ROOT/build/tsan run_stories -tsan threads links agent rotation
}

# The corpora, replayed, as every other unit test; with --long, or with --only fuzz, libFuzzer itself.
stage_fuzz() {
	local log=$KT_TMP/fuzz code=0
	[ -z "$filter" ] || return 0 # stage unit has replayed what matches
	if [ "${KT_LONG-}" != 1 ] && [ "$only" != fuzz ]; then
		run_ctest dev -R '^fuzz\.'
		return
	fi
	bash "$KT_ROOT/tests/fuzz.sh" --seconds "$fuzz_s" >"$log" 2>&1 || code=$?
	sed '$d' "$log"
	add_counts fuzz "$log" "$code"
}

# All points with --long; some of them with --only crash; else none: they take minutes.
stage_crash() {
	local mode log code every=1
	if [ "${KT_LONG-}" != 1 ]; then
		[ "$only" = crash ] || return
		every=10
	fi
	[ -z "$filter" ] || return
	need_build dev || return
	for mode in agent broker power; do
		log=$KT_TMP/crash.$mode code=0
		timeout -k 10 1800 bash "$KT_ROOT/tests/crash.sh" "$mode" --every "$every" >"$log" 2>&1 || code=$?
		grep -vE '^ok ' "$log"
		add_counts "crash $mode" "$log" "$code"
	done
}

# A larger sample with --long; a small one with --only faults; else none: they take minutes.
stage_faults() {
	local mode log code every=4
	if [ "${KT_LONG-}" != 1 ]; then
		[ "$only" = faults ] || return 0
		every=40
	fi
	[ -z "$filter" ] || return 0
	need_build dev || return
	for mode in malloc disk fds; do
		if [ "$mode" = disk ] && [ "$(id -u)" -ne 0 ]; then
			say 'faults disk: not without root'
			continue
		fi
		log=$KT_TMP/faults.$mode code=0
		timeout -k 10 3600 bash "$KT_ROOT/tests/faults.sh" "$mode" --every "$every" >"$log" 2>&1 || code=$?
		grep -vE '^ok ' "$log" | sed '$d'
		add_counts "faults $mode" "$log" "$code"
	done
}

# With --long, or with --only mutants: it takes half an hour and more. That the patches apply is lint's.
stage_mutants() {
	local log=$KT_TMP/mutants code=0
	[ "${KT_LONG-}" = 1 ] || [ "$only" = mutants ] || return 0
	[ -z "$filter" ] || return 0
	timeout -k 10 7200 bash "$KT_ROOT/tests/mutants.sh" >"$log" 2>&1 || code=$?
	sed '$d' "$log"
	add_counts mutants "$log" "$code"
}

# --- the run ------------------------------------------------------------------------------------------

make_tmp
started=$SECONDS
install_packages || fatal 'packages are missing'
command -v "$KT_BROKER" >/dev/null || fatal "no broker: $KT_BROKER"
for stage in $STAGES; do
	! is_left_out "$stage" || continue
	before=$SECONDS
	[ -n "$filter" ] || say "--- $stage"
	"stage_${stage//-/_}"
	[ -n "$filter" ] || say "--- $stage: $((SECONDS - before)) s"
done
say "--- all: $((SECONDS - started)) s"
finish
