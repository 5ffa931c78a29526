#!/bin/bash
# docs/PERFORMANCE.md, with its tables and plots, out of the benchmarks' own figures.
#
#   docs/performance.sh [--quick] [--broker PATH]   runs all of tests/bench first: hours
#   docs/performance.sh --from FILE...              from what was measured before: results (build/bench/NAME.json), or
#                                                   the document of tests/bench/run.sh all --json
#   docs/performance.sh --into DIR ...              writes there, not into docs/
#
# Each target that is missed is in the page, with its figure. Ends with "N passed, N failed": the checks of the
# benchmarks, or with --from whether the page was made.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../tests/lib.sh"

DOCS=$KT_ROOT/docs
FROM=()
ALL=()

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) ALL+=(--quick) ;;
	--broker)
		[ $# -ge 2 ] || usage
		ALL+=(--broker "$2") KT_BROKER=$2
		shift
		;;
	--into)
		[ -d "${2-}" ] || usage
		DOCS=$2
		shift
		;;
	--from)
		shift
		[ $# -gt 0 ] || usage
		FROM=("$@")
		break
		;;
	*) usage ;;
	esac
	shift
done

# report FILE...
report() {
	KT_BROKER=$KT_BROKER PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/bench /usr/bin/python3 -B \
		"$KT_ROOT/tests/bench/report.py" "$DOCS" "$@"
}

if [ "${#FROM[@]}" -gt 0 ]; then
	check "the page is made of ${#FROM[@]} files" report "${FROM[@]}"
	finish
fi

make_tmp
"$KT_ROOT/tests/bench/run.sh" all --json "${ALL[@]}" </dev/null >"$KT_TMP/all.out"
if [[ $(tail -n 1 "$KT_TMP/all.out") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
	KT_PASSED=${BASH_REMATCH[1]} KT_FAILED=${BASH_REMATCH[2]}
else
	not_ok 'the benchmarks came to their end' "$(tail -n 3 "$KT_TMP/all.out")"
fi
grep '^{' "$KT_TMP/all.out" | tail -n 1 >"$KT_TMP/all.json"
check 'the page is made' report "$KT_TMP/all.json"
finish
