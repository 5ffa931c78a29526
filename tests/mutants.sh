#!/usr/bin/env bash
# Mutants: do the simulator (tests/sim) and the unit tests find what they are there to find?
#
#   tests/mutants.sh [--json]        every patch of tests/mutants
#   tests/mutants.sh --only NAME     the one of that name (with or without .patch), or all that NAME, a
#                                    shell pattern, matches
#   tests/mutants.sh --check         does every patch apply? (nothing is built)
#
# Each patch takes one rule, write, sync, check or kick out of the product; its first line says which. It is applied
# to a copy of the tree, and what has to find it is built there: the simulator, or where a line "killed-by: unit
# PART.MODULE" follows, that unit test. The simulator has to break an invariant within SEEDS seeds, the unit test has to
# fail; the plain ones pass. One line a mutant: the invariant that broke first, the first seed that did, and how many
# of the first 100 do; or the test that failed. A mutant that is not found is a failure, and so is a patch that does
# not apply or does not compile. Two are worked on at a time.
# With --json stdout has two lines, the document and the counts.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

readonly SEEDS=4000 FIRST=100
dir=$KT_ROOT/tests/mutants
is_json='' only='*' is_check=''

usage() {
	sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--json) is_json=1 ;;
	--check) is_check=1 ;;
	--only)
		[ -n "${2-}" ] || usage
		only=${2%.patch}
		shift
		;;
	*) usage ;;
	esac
	shift
done

# --- patches ------------------------------------------------------------------------------------------

apply() { # TREE NAME [OPTION]: with no repository above, paths are those of the tree
	(cd "$1" && GIT_CEILING_DIRECTORIES=${1%/*} git apply ${3+"$3"} "$dir/$2.patch") 2>&1
}

# "sim", or "unit PART.MODULE"
killer_of() { # NAME
	local word
	word=$(sed -n '2s/^killed-by: //p' "$dir/$1.patch")
	printf '%s\n' "${word:-sim}"
}

# A sentence, who finds it, a blank, and a diff of the product's own files.
is_well_formed() { # NAME
	local first killer
	read -r first <"$dir/$1.patch"
	killer=$(killer_of "$1")
	case $killer in
	sim) ;;
	'unit '*.*) # PART.MODULE, as ctest names it
		killer=${killer#unit }
		[ -e "$KT_ROOT/tests/unit/${killer%%.*}/test_${killer#*.}.c" ] || return
		;;
	*) return 1 ;;
	esac
	[[ $first == *. && ${#first} -le 110 ]] && ! grep -E '^(---|\+\+\+) ' "$dir/$1.patch" |
		grep -qvE '^(--- a|\+\+\+ b)/(plugin|agent|common)/'
}

names=()
for file in "$dir"/*.patch; do
	name=$(basename "$file" .patch)
	# shellcheck disable=SC2053 # a pattern
	[[ $name != $only ]] || names+=("$name")
done
make_tmp
if [ "${#names[@]}" -eq 0 ] || [ ! -e "$dir/${names[0]}.patch" ]; then
	fatal "no mutant: $only"
fi

if [ -n "$is_check" ]; then
	for name in "${names[@]}"; do
		if ! is_well_formed "$name"; then
			not_ok "$name" 'not a sentence and a diff of plugin/, agent/, common/'
		elif out=$(apply "$KT_ROOT" "$name" --check); then
			ok "$name"
		else
			not_ok "$name" "$out"
		fi
	done
	finish
fi

cp -r "$dir" "$KT_TMP/mutants" && dir=$KT_TMP/mutants # a run is of one moment

# --- copies of the tree -------------------------------------------------------------------------------

# A mutant may leave something unused: that it compiles without a warning is not what is asked.
build() { # TREE [TARGET]: into TREE.log
	(cd "$1" && { [ -d build/dev ] || cmake --preset dev -DKT_WERROR=OFF; } &&
		cmake --build --preset dev --target "${2:-sim}" -- -j1) >"$1.log" 2>&1
}

copy_tree() { # TREE
	mkdir "$1" && (cd "$KT_ROOT" && git ls-files -z | tar -c --null -T - 2>"$1.log") | tar -x -C "$1"
}

sim() { # TREE FIRST LAST STOP_AFTER
	(cd "$1" && ulimit -c 0 && timeout -k 10 1200 build/dev/tests/sim --seeds "$2..$3" --alone --stop-after "$4") 2>&1
}

# --- one mutant: NAME.result has "INVARIANT SEED OF_FIRST SEEDS_RUN" and the words of the first break --

hunt() { # TREE NAME
	local from=1 to=$FIRST stop=$FIRST out=$KT_TMP/$2.out count=0 line
	while :; do
		sim "$1" "$from" "$to" "$stop" >"$out"
		[[ $(tail -n 1 "$out") =~ ^[0-9]+\ passed,\ [0-9]+\ failed$ ]] || {
			printf 'error\nthe simulator did not end: %s\n' "$(tail -n 3 "$out")" >"$KT_TMP/$2.new"
			return
		}
		line=$(grep -m 1 -E '^seed [0-9]+: ' "$out")
		[ "$from" -gt 1 ] || count=$(grep -cE '^seed [0-9]+: ' "$out")
		if [[ $line =~ ^seed\ ([0-9]+):\ ([A-Z0-9]+):\ (.*)\ \(step ]]; then
			printf '%s %s %s %s\n%s\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[1]}" "$count" \
				"$to" "${BASH_REMATCH[3]}" >"$KT_TMP/$2.new"
			return
		fi
		[ "$to" -lt "$SEEDS" ] || break
		from=$((to + 1)) to=$((to * 5 < SEEDS ? to * 5 : SEEDS)) stop=1
	done
	printf 'none 0 0 %s\n\n' "$to" >"$KT_TMP/$2.new"
}

unit() { # TREE MODULE: as ctest runs it
	(cd "$1" && ulimit -c 0 && timeout -k 10 300 "build/dev/tests/test_$2") 2>&1
}

# NAME.result has "unit 0 0 0", and the first test that failed.
ask_unit() { # TREE NAME MODULE
	local out=$KT_TMP/$2.out code=0 failed
	unit "$1" "$3" >"$out" || code=$?
	failed=$(sed -nE 's/^\[  FAILED  \] ([a-z0-9_]+)$/\1/p' "$out" | head -n 1)
	if [ "$code" -eq 0 ]; then
		printf 'none 0 0 0\n\n' >"$KT_TMP/$2.new"
	else # one that does not end, or crashes, is found too
		printf 'unit 0 0 0\n%s\n' "${failed:-exit $code}" >"$KT_TMP/$2.new"
	fi
}

try() { # TREE NAME
	local out killer
	if ! is_well_formed "$2" || ! out=$(apply "$1" "$2"); then
		printf 'error\nthe patch does not apply: %s\n' "${out-its form}" >"$KT_TMP/$2.new"
		return
	fi
	killer=$(killer_of "$2")
	if [ "$killer" = sim ] && build "$1"; then
		hunt "$1" "$2"
	elif [ "$killer" != sim ] && build "$1" "test_${killer#*.}"; then
		ask_unit "$1" "$2" "${killer#*.}"
	else
		printf 'error\nthe mutant does not build: %s\n' "$(grep -E 'error' "$1.log" | head -n 5)" >"$KT_TMP/$2.new"
	fi
	apply "$1" "$2" -R >/dev/null
}

report() { # NAME
	local what invariant seed count run why
	read -r what <"$dir/$1.patch"
	{
		read -r invariant seed count run
		read -r why
	} <"$KT_TMP/$1.result"
	case $invariant in
	error | none | '') KT_FAILED=$((KT_FAILED + 1)) ;;
	*) KT_PASSED=$((KT_PASSED + 1)) ;;
	esac
	if [ -n "$is_json" ]; then
		python3 -c 'import json, sys
name, what, invariant, seed, count, run, why = sys.argv[1:]
found = invariant not in ("error", "none", "")
print(json.dumps({"name": name, "what": what, "found": found, "invariant": invariant if found else None,
    "seed": int(seed) if found and invariant != "unit" else None, "of_first_100": int(count or 0), "seeds_run": int(run or 0), "why": why}))' \
			"$1" "$what" "$invariant" "$seed" "$count" "$run" "$why" >>"$KT_TMP/json"
		return
	fi
	case $invariant in
	error | '') printf 'not ok %s: %s\n' "$1" "${why:-no result}" ;;
	none) printf 'not ok %s: not found by %s: %s\n' "$1" "$([ "$run" = 0 ] && killer_of "$1" || echo "$run seeds")" "$what" ;;
	unit) printf 'ok %-26s %s: %s\n' "$1" "$(killer_of "$1")" "$why" ;;
	*) printf 'ok %-26s %-3s seed %-5s %3s of %s  %s\n' "$1" "$invariant" "$seed" "$count" "$FIRST" "$why" ;;
	esac
}

work() { # WORKER: every second mutant
	local i
	copy_tree "$KT_TMP/tree$1" || return
	for ((i = $1; i < ${#names[@]}; i += 2)); do
		try "$KT_TMP/tree$1" "${names[i]}"
		mv "$KT_TMP/${names[i]}.new" "$KT_TMP/${names[i]}.result"
	done
	# the control, with all patches taken back: half of all seeds each, and every unit test that was asked
	if [ -n "$has_sim" ]; then
		build "$KT_TMP/tree$1" &&
			sim "$KT_TMP/tree$1" $((1 + $1 * SEEDS / 2)) $((($1 + 1) * SEEDS / 2)) 5 >"$KT_TMP/control$1"
	fi
	for ((i = $1; i < ${#modules[@]}; i += 2)); do
		build "$KT_TMP/tree$1" "test_${modules[i]}" && unit "$KT_TMP/tree$1" "${modules[i]}" >"$KT_TMP/plain.out$1" &&
			: >"$KT_TMP/${modules[i]}.passes"
	done
}

has_sim='' modules=()
for name in "${names[@]}"; do
	killer=$(killer_of "$name")
	[ "$killer" != sim ] || has_sim=1
	[ "$killer" = sim ] || [[ " ${modules[*]} " == *" ${killer#*.} "* ]] || modules+=("${killer#*.}")
done

install_packages >"$KT_TMP/packages" || fatal "packages are missing: $(cat "$KT_TMP/packages")"
workers=()
for worker in 0 1; do
	work "$worker" >"$KT_TMP/worker$worker" 2>&1 &
	workers+=($!)
	KT_PIDS+=($!)
done
for ((i = 0; i < ${#names[@]}; i++)); do # as they come
	while [ ! -e "$KT_TMP/${names[i]}.result" ] && is_running "${workers[i % 2]}"; do
		sleep 0.2
	done
	[ -e "$KT_TMP/${names[i]}.result" ] || printf 'error\n%s\n' "$(tail -n 3 "$KT_TMP/tree$((i % 2)).log" | tr '\n' ' ')" >"$KT_TMP/${names[i]}.result"
	report "${names[i]}"
done
wait "${workers[@]}"
for module in "${modules[@]}"; do
	if [ -e "$KT_TMP/$module.passes" ]; then
		KT_PASSED=$((KT_PASSED + 1))
	else
		not_ok "the plain unit test $module passes" >&2
		[ -n "$is_json" ] || printf 'not ok the plain unit test %s passes\n' "$module"
	fi
done
for worker in 0 1; do
	[ -n "$has_sim" ] || continue
	if [[ $(tail -n 1 "$KT_TMP/control$worker" 2>&1) == "$((SEEDS / 2)) passed, 0 failed" ]]; then
		KT_PASSED=$((KT_PASSED + 1))
	else
		not_ok 'the plain simulator passes the same seeds' "$(tail -n 5 "$KT_TMP/control$worker" 2>&1)" >&2
		[ -n "$is_json" ] || printf 'not ok the plain simulator passes the same seeds\n'
	fi
done
if [ -n "$is_json" ]; then
	printf '{"seeds": %d, "passed": %d, "failed": %d, "mutants": [%s]}\n' "$SEEDS" "$KT_PASSED" "$KT_FAILED" \
		"$(paste -sd , "$KT_TMP/json")"
fi
finish
