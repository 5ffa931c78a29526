#!/bin/bash
# Does the oracle of the soak find what it must, and a power cut lose what was not synced? With --long: does a fleet
# under faults pass it?

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
make_tmp

# counted COMMAND...: its lines, and its counts as ours
counted() {
	local log=$KT_TMP/counted code=0 last
	"$@" </dev/null >"$log" 2>&1 || code=$?
	last=$(tail -n 1 "$log")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		sed '$d' "$log"
		KT_PASSED=$((KT_PASSED + BASH_REMATCH[1])) KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
		[ "$code" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || not_ok "$*: exit $code"
	else
		not_ok "$* ran to its end" "exit $code: $(tail -n 20 "$log")"
	fi
}

counted env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -B "$KT_ROOT/tests/soak/test_check_history.py"
counted env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -B "$KT_ROOT/tests/soak/test_powercut.py" \
	"$KT_BUILD/tests/soak_powercut.so"
[ "${KT_LONG-}" != 1 ] || counted "$KT_ROOT/tests/soak.sh" --minutes 2
finish
