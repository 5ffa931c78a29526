#!/bin/bash
# Memory, disks and descriptors that fail, on the real programs.
#
#   tests/faults.sh malloc|disk|fds [--every N] [--only NAME] [--json]
#
# malloc  each allocation of the plugin in a real broker, and of real agents, alone and with all that follow
# disk    a full disk of 1 MiB, one that is read-only, writes cut short, calls that fail, reads that fail (root only)
# fds     no descriptor left, by connections and by limit: hubs, operators, SIGHUP, agents
#
# --every N  each N-th point alone; --only NAME one scene of it; --json prints one JSON object before the last line.
# Ends with "N passed, N failed"; KT_JOBS: how many places side by side (4).
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/crash/places.sh
. "$(dirname "$0")/crash/places.sh"

usage() {
	sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

mode='' every=1 format=text only=''
while [ $# -gt 0 ]; do
	case $1 in
	malloc | disk | fds) mode=$1 ;;
	--every)
		[[ ${2-} =~ ^[1-9][0-9]{0,3}$ ]] || usage
		every=$2
		shift
		;;
	--only)
		[ -n "${2-}" ] || usage
		only=$2
		shift
		;;
	--json) format=json ;;
	*) usage ;;
	esac
	shift
done
[ -n "$mode" ] || usage

prepare_places
PYTHONPATH=$KT_ROOT/tests/faults:$PYTHONPATH
run=(/usr/bin/python3 -B "$KT_ROOT/tests/faults/faults_$mode.py" "$KT_TMP" "$every" "${KT_JOBS:-4}" "$format" "$only")
if [ "$mode" = disk ]; then # mounts of its own, which end with it
	[ "$(id -u)" -eq 0 ] || fatal 'a small disk takes root'
	run=(unshare --mount --propagation private "${run[@]}")
fi
run_places "${run[@]}"
