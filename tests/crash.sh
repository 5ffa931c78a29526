#!/bin/bash
# Crash points and power loss, on the real programs and real files.
#
#   tests/crash.sh agent|broker|power [--every N] [--json]
#
# agent   one rotation: kill -9, EIO and ENOSPC at every call of keyturn-agent that changes a disk or sends
# broker  enrolment, rotation, revoke: kill -9 at every such call of the broker with the plugin
# power   both recorded; every state in which a power cut can leave their files, opened by the real programs
#
# --every N  each N-th point (power: step) alone; --json prints one JSON object before the last line.
# Ends with "N passed, N failed"; KT_JOBS: how many places side by side (4, which mostly wait; power: 2).
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/crash/places.sh
. "$(dirname "$0")/crash/places.sh"

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

mode='' every=1 format=text jobs=4
while [ $# -gt 0 ]; do
	case $1 in
	agent | broker) mode=$1 ;;
	power) mode=$1 jobs=2 ;;
	--every)
		[[ ${2-} =~ ^[1-9][0-9]{0,3}$ ]] || usage
		every=$2
		shift
		;;
	--json) format=json ;;
	*) usage ;;
	esac
	shift
done
[ -n "$mode" ] || usage

prepare_places
run_places /usr/bin/python3 -B "$KT_ROOT/tests/crash/crash_$mode.py" "$KT_TMP" "$every" "${KT_JOBS:-$jobs}" "$format"
