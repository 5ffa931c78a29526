#!/bin/bash
# docs/pictures/schedule-year.svg: a fleet left alone for a year, as tests/unit/plugin/test_year.c lives it.
#
#   docs/schedule.sh [DIR]   writes into DIR, not into docs/pictures/
#
# The same bytes every time. Ends with "N passed, N failed".
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../tests/lib.sh"

OUT=${1:-$KT_ROOT/docs/pictures}
make_tmp
build_preset dev test_year >&2 || fatal 'it does not build'
"$KT_BUILD/tests/test_year" "$KT_TMP/year" >"$KT_TMP/log" 2>&1 || fatal "test_year: $(tail -n 3 "$KT_TMP/log")"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/bench /usr/bin/python3 -B - "$KT_TMP/year" "$OUT/schedule-year.svg" <<'END' ||
import sys
import svg

with open(sys.argv[1]) as file:
    days = [tuple(map(int, line.split())) for line in file]
series = {"200 hubs, enrolled in one moment; keys of 30 days, rotated from the 18th to the 24th": days}
with open(sys.argv[2], "w") as file:
    file.write(svg.lines("Rotations ordered by age, over a year", series, "day", "rotations a day", log_x=False, log_y=False))
END
	fatal 'no picture'
ok "the picture is made of $(wc -l <"$KT_TMP/year") days"
finish
