#!/usr/bin/env bash
# The simulator (tests/sim): the whole system in one process, a seed a run.
#
#   tests/sim.sh --seeds A..B [--json]    these seeds, over all processors
#   tests/sim.sh --seed N --trace         one of them as a sequence diagram
#   tests/sim.sh --rotations N [--json]   seeds, until so many rotations are committed: no clone alarm without a
#                                         clone; policies and challenges by the seed (--policies for one alone)
#   tests/sim.sh --known                  every seed that has ever failed (tests/sim/failed_seeds)
#
# A run ends at the first invariant that breaks; the first such seed is run again with as few of its
# faults as still break it, as a diagram. Then come what was reached (a kind of fault or a cell of a state
# table that never was fails the run of seeds, unless it is a single one) and the counts:
# "N passed, N failed". With --json stdout has two lines, the document and the counts. --no-cells: what was
# reached is not judged; some cells want ten thousand seeds.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

usage() {
	sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

[ $# -gt 0 ] || usage
make_tmp
install_packages || fatal 'packages are missing'
build_preset dev sim >"$KT_TMP/build" || fatal "the simulator does not build: $(tail -n 20 "$KT_TMP/build")"
sim=$KT_ROOT/build/dev/tests/sim

# Comments and blanks apart, one seed a line.
known() {
	local seed code=0
	while read -r seed _; do
		case $seed in '' | '#'*) continue ;; esac
		if "$sim" --seed "$seed" >"$KT_TMP/known"; then
			ok "seed $seed"
		else
			not_ok "seed $seed" "$(cat "$KT_TMP/known")"
			code=1
		fi
	done <"$KT_ROOT/tests/sim/failed_seeds"
	return "$code"
}

case $1 in
--known)
	known
	finish
	;;
--seeds | --rotations) set -- --jobs "$(nproc)" "$@" ;;
esac
"$sim" "$@"
