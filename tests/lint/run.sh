#!/bin/bash
# Runs every lint script; prints "ok lint NAME" or its findings, and "N passed, N failed".
# usage: run.sh BUILD_DIR [NAME...] (BUILD_DIR: a build without sanitizers, from the dev preset)

here=$(cd "$(dirname "$0")" && pwd)
build=${1-}
[ -d "$build" ] || {
	echo "usage: $0 BUILD_DIR [NAME...]" >&2
	exit 2
}
build=$(cd "$build" && pwd)
shift
passed=0 failed=0
for name in "${@:-boundaries banned scripts format suppressions threats mutants exports hardening selftest tidy cppcheck analyzer clang_analyzer}"; do
	for one in $name; do
		if out=$(bash "$here/$one.sh" "$build" 2>&1 </dev/null); then
			passed=$((passed + 1))
			printf 'ok lint %s (%s)\n' "$one" "$(printf '%s\n' "$out" | grep -vE ': [0-9]+ findings$' | tail -n 1)"
		else
			failed=$((failed + 1))
			printf 'not ok lint %s\n' "$one"
			printf '%s\n' "$out" | sed 's/^/    /'
		fi
	done
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
