#!/usr/bin/env bash
# The fuzz targets (tests/fuzz) under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/fuzz.sh --seconds N [--target T]...  N seconds each, two at a time; --jobs N
#   tests/fuzz.sh --coverage [--target T]...   lines and branches of each target's files that its corpus reaches
#
# --log FILE     appends one JSON line for each target: executions and CPU seconds add up over several runs
# --total FILE   only adds up what such a file holds
# --keep         takes what was new into tests/fuzz/corpus/TARGET (a smallest set that covers as much; what
#                has a name, not a hash, was written for something and stays)
# --found DIR    where inputs that break something go (default: build/fuzz/found)
#
# An input that breaks something, leaks, takes ten seconds or a gigabyte fails its target. KT_FUZZ_TRACE=1 in
# front of build/fuzz/tests/fuzz_core or fuzz_agent shows what happens in one. Ends with "N passed, N failed".
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

usage() {
	sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# --- the targets: the longest input that makes sense, and the files whose parsers are meant -----------

corpus_root=$KT_ROOT/tests/fuzz/corpus

max_len() { # TARGET
	case $1 in
	access) echo 600 ;;
	agent | core) echo 1000 ;;
	index | identity) echo 3000 ;;
	json | jws | message | control | operator) echo 16384 ;;
	*) echo 8192 ;;
	esac
}

# The state machines begin with long inputs: short ones do not get anywhere.
options_of() { # TARGET
	case $1 in
	agent | core) echo -len_control=0 ;;
	control | operator | json | message | record | answer | jws) echo "-dict=$KT_ROOT/tests/fuzz/words.dict" ;;
	esac
}

files_of() { # TARGET
	case $1 in
	access) echo plugin/core/access.c plugin/core/access_acl.c common/message/topic.c common/types.c ;;
	adopt) echo agent/identity/identity_adopt.c common/crypto/crypto_pem.c ;;
	agent) echo agent/agent.c agent/agent_enroll.c agent/agent_link.c agent/agent_message.c agent/agent_rollover.c agent/rollover.c ;;
	agent_config) echo agent/config.c common/option_file.c ;;
	agent_record) echo agent/identity/agent_record.c ;;
	answer) echo plugin/ctl/batch.c plugin/ctl/events.c plugin/ctl/print.c plugin/ctl/reports.c ;;
	broker_conf) echo plugin/config/broker_conf.c plugin/config/broker_conf_cmdline.c ;;
	cert) echo common/crypto/crypto_cert.c common/crypto/crypto_asn1.c common/crypto/der.c ;;
	config) echo plugin/config/config.c plugin/config/config_values.c common/option_file.c ;;
	control) echo plugin/control/control_decode.c ;;
	core) echo plugin/core/*.c ;;
	crl) echo common/crypto/crypto_crl.c ;;
	csr) echo common/crypto/crypto_csr.c ;;
	identity) echo agent/identity/identity_recover.c agent/identity/identity_credentials.c agent/identity/key_store_file.c ;;
	import) echo plugin/ctl/import_files.c ;;
	index) echo plugin/store/index_sqlite.c plugin/store/index_sqlite_row.c plugin/store/store_start.c ;;
	json) echo common/json.c common/json_writer.c ;;
	jws) echo common/message/jws.c common/encoding.c ;;
	key) echo common/crypto/crypto_wolfssl_key.c common/crypto/crypto_wolfssl_recover.c common/crypto/crypto_pem.c ;;
	ledger) echo plugin/store/ledger.c ;;
	message) echo common/message/message_decode.c common/message/message_encode.c common/message/message.c ;;
	operator) echo plugin/control/*.c ;;
	record) echo plugin/registry/record.c ;;
	ticket) echo common/message/ticket.c ;;
	trust) echo agent/trust.c common/crypto/crypto_cert.c ;;
	esac
}

# --- arguments ------------------------------------------------------------------------------------------

seconds=0 targets=() log='' keep='' coverage='' jobs=2 found=$KT_ROOT/build/fuzz/found
total() { # FILE
	/usr/bin/python3 - "$1" <<'PY'
import json, sys
sums = {}
for line in open(sys.argv[1], encoding="utf-8"):
    run = json.loads(line)
    one = sums.setdefault(run["target"], [0, 0, 0.0, 0])
    one[0] += 1
    one[1] += run["executions"]
    one[2] += run["cpu_seconds"]
    one[3] += run["crashes"]
print("target            runs   executions  CPU minutes  crashes")
for name, (runs, executions, cpu, crashes) in sorted(sums.items()):
    print(f"{name:16} {runs:5} {executions:12} {cpu / 60:12.1f} {crashes:8}")
PY
}
while [ $# -gt 0 ]; do
	case $1 in
	--seconds | --target | --log | --total | --jobs | --found)
		[ -n "${2-}" ] || usage
		case $1 in
		--seconds) seconds=$2 ;;
		--target) targets+=("$2") ;;
		--log) log=$2 ;;
		--jobs) jobs=$2 ;;
		--found) found=$2 ;;
		--total) total "$2"; exit ;;
		esac
		shift
		;;
	--keep) keep=yes ;;
	--coverage) coverage=yes ;;
	*) usage ;;
	esac
	shift
done
[[ $seconds =~ ^[0-9]+$ && $jobs =~ ^[1-9][0-9]*$ ]] || usage
[ "$seconds" -gt 0 ] || [ -n "$coverage" ] || usage
if [ "${#targets[@]}" -eq 0 ]; then
	for file in "$KT_ROOT"/tests/fuzz/fuzz_*.c; do
		name=$(basename "$file" .c)
		targets+=("${name#fuzz_}")
	done
fi
for name in "${targets[@]}"; do
	[ -f "$KT_ROOT/tests/fuzz/fuzz_$name.c" ] || { say "no target '$name'" >&2; exit 2; }
	[ -n "$(files_of "$name")" ] || { say "fuzz.sh does not know the files of '$name'" >&2; exit 2; }
done
make_tmp
install_packages || fatal 'packages are missing'

# Kernels with 32 bits of address randomness break the sanitizers of older compilers now and then.
plain=()
! setarch "$(uname -m)" -R true 2>/dev/null || plain=(setarch "$(uname -m)" -R)

# --- runs -------------------------------------------------------------------------------------------------

# A result is a set of files in $KT_TMP/NAME: log, code, cpu (seconds, user and system).
fuzz_one() { # NAME
	local name=$1 dir=$KT_TMP/$1 TIMEFORMAT='%U %S'
	mkdir -p "$dir/new" "$found/$name" "$corpus_root/$name"
	export ASAN_OPTIONS=${ASAN_OPTIONS-quarantine_size_mb=8:malloc_context_size=8}
	# shellcheck disable=SC2046 # options are words
	{ time "${plain[@]}" timeout -k 5 $((seconds * 4 + 120)) "$KT_ROOT/build/fuzz/tests/fuzz_$name" \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len="$(max_len "$name")" \
		$(options_of "$name") -print_final_stats=1 -artifact_prefix="$found/$name/" \
		"$dir/new" "$corpus_root/$name" >"$dir/log" 2>&1; echo $? >"$dir/code"; } 2>"$dir/times"
	awk '{ print $1 + $2 }' "$dir/times" >"$dir/cpu"
}

# The corpus and what is new, as a smallest set that covers as much as both.
keep_one() { # NAME
	local name=$1 dir=$KT_TMP/$1 corpus=$corpus_root/$1 before after
	mkdir -p "$dir/merged"
	"${plain[@]}" "$KT_ROOT/build/fuzz/tests/fuzz_$name" -set_cover_merge=1 -timeout=10 -rss_limit_mb=1024 \
		-max_len="$(max_len "$name")" "$dir/merged" "$corpus" "$dir/new" >"$dir/merge" 2>&1 ||
		{ not_ok "$name: merge" "$(tail -n 20 "$dir/merge")"; return; }
	[ -n "$(ls -A "$dir/merged")" ] || { not_ok "$name: the merged corpus is empty"; return; }
	before=$(find "$corpus" -type f | wc -l)
	# what is there keeps its name, and what was named by a person stays
	rm -rf "$dir/old"
	cp -r "$corpus" "$dir/old"
	rm -f "$corpus"/*
	for file in "$dir/old"/*; do
		hash=$(sha1sum <"$file" | cut -d ' ' -f 1)
		if [ -f "$dir/merged/$hash" ] || [[ ! $(basename "$file") =~ ^[0-9a-f]{40}$ ]]; then
			cp "$file" "$corpus/"
			rm -f "$dir/merged/$hash"
		fi
	done
	cp -r "$dir/merged/." "$corpus"
	after=$(find "$corpus" -type f | wc -l)
	say "$name: corpus of $before inputs is now one of $after"
}

stat_of() { # NAME STAT
	sed -n "s/^stat::$2: *//p" "$KT_TMP/$1/log" | tail -n 1
}

report_one() { # NAME
	local name=$1 dir=$KT_TMP/$1 runs cpu code crashes last edges features corpus
	runs=$(stat_of "$name" number_of_executed_units)
	cpu=$(cat "$dir/cpu")
	code=$(cat "$dir/code")
	crashes=$(find "$found/$name" -type f -newer "$dir/new" | wc -l)
	last=$(grep -E '^#[0-9]+.* cov: ' "$dir/log" | tail -n 1)
	edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")
	features=$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' <<<"$last")
	corpus=$(sed -n 's/.* corp: \([^ ]*\).*/\1/p' <<<"$last")
	if [ "$code" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
		ok "$name: $runs executions in $cpu s of CPU ($(awk -v n="$runs" -v s="$cpu" \
			'BEGIN { printf "%d", (s > 0) ? n / s : 0 }') a second), $edges edges, $features features, corpus $corpus, 0 crashes"
	else
		[ "$crashes" -gt 0 ] || crashes=1
		not_ok "$name (exit $code)" "$(grep -vE '^#[0-9]+.*(NEW|REDUCE|pulse)' "$dir/log" | tail -n 40)
$(find "$found/$name" -type f -newer "$dir/new" -exec sh -c 'echo "$1, base64: $(base64 -w 0 "$1")"' _ {} \;)"
	fi
	[ -z "$log" ] || printf '{"target": "%s", "seconds": %s, "executions": %s, "cpu_seconds": %s, "edges": %s, "features": %s, "crashes": %s}\n' \
		"$name" "$seconds" "${runs:-0}" "${cpu:-0}" "${edges:-0}" "${features:-0}" "$crashes" >>"$log"
}

fuzz_all() {
	local name pids=()
	build_preset fuzz "${targets[@]/#/fuzz_}" >"$KT_TMP/build" ||
		fatal "the targets do not build: $(tail -n 30 "$KT_TMP/build")"
	for name in "${targets[@]}"; do
		[ "${#pids[@]}" -lt "$jobs" ] || { wait "${pids[0]}"; pids=("${pids[@]:1}"); }
		fuzz_one "$name" &
		pids+=($!)
	done
	wait
	for name in "${targets[@]}"; do
		report_one "$name"
		[ -z "$keep" ] || keep_one "$name"
	done
}

# --- coverage: the corpus once more, in a build that counts lines ---------------------------------------

cover_one() { # NAME
	local name=$1 program=$KT_ROOT/build/cover/tests/fuzz_$1 files=() file
	for file in $(cd "$KT_ROOT" && files_of "$name"); do
		files+=("$KT_ROOT/$file")
	done
	if ! LLVM_PROFILE_FILE="$KT_TMP/$name.raw" "$program" "$corpus_root/$name" >"$KT_TMP/$name.out" 2>&1 ||
		! llvm-profdata merge -o "$KT_TMP/$name.prof" "$KT_TMP/$name.raw"; then
		not_ok "$name: its corpus" "$(tail -n 20 "$KT_TMP/$name.out")"
		return
	fi
	llvm-cov export -summary-only -instr-profile "$KT_TMP/$name.prof" "$program" >"$KT_TMP/$name.json"
	if ! /usr/bin/python3 - "$name" "$KT_TMP/$name.json" "$(find "$corpus_root/$name" -type f | wc -l)" "${files[@]}" <<'PY'
import json, os, sys
name, path, inputs, *files = sys.argv[1:]
wanted = {os.path.realpath(file) for file in files}
def share(of):
    return f"{100.0 * of['covered'] / of['count']:5.1f} %" if of["count"] else "     - "
def line(what, of):
    print(f"  {what:44} lines {share(of['lines'])} of {of['lines']['count']:4}, branches {share(of['branches'])} of {of['branches']['count']:4}")
print(f"{name}: {inputs} inputs")
total = {kind: {"count": 0, "covered": 0} for kind in ("lines", "branches")}
for one in sorted(json.load(open(path, encoding="utf-8"))["data"][0]["files"], key=lambda f: f["filename"]):
    real = os.path.realpath(one["filename"])
    if real not in wanted:
        continue
    wanted.discard(real)
    line("/".join(real.split("/")[-3:]), one["summary"])
    for kind in total:
        for what in ("count", "covered"):
            total[kind][what] += one["summary"][kind][what]
line("all", total)
if wanted:
    print("  not in the program:", *sorted(wanted))
sys.exit(0 if total["lines"]["covered"] > 0 and not wanted else 1)
PY
	then
		not_ok "$name: nothing of its files was reached"
	else
		KT_PASSED=$((KT_PASSED + 1))
	fi
}

cover_all() {
	local name
	build_preset cover "${targets[@]/#/fuzz_}" >"$KT_TMP/build" ||
		fatal "the targets do not build: $(tail -n 30 "$KT_TMP/build")"
	for name in "${targets[@]}"; do
		cover_one "$name"
	done
}

[ "$seconds" -eq 0 ] || fuzz_all
[ -z "$coverage" ] || cover_all
[ "$seconds" -eq 0 ] || say "inputs that broke something: $found"
finish
