#!/bin/bash
# Does who is refused cost the broker no disk, does who floods learn when to come back, and does neither hide
# what others do?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

scene_pki
# Certificates of our CA that the registry does not hold: those of another ledger.
mkdir -p "$KT_TMP/strangers"
"$KT_BUILD/tests/bench_fleet" "$KT_TMP/strangers-ledger" "$TD" "$KT_TMP/pki/issuing.pem" "$KT_TMP/pki/issuing.key" \
	"$KT_TMP/strangers" 3 3 >"$KT_TMP/strangers.log" 2>&1 || fatal "no strangers: $(tail -n 3 "$KT_TMP/strangers.log")"
chmod 600 "$KT_TMP/strangers"/*.pem
KEYTURN_LINES+=("head_every = 0") # what is written here should be of strangers alone
scene_write
scene_start

# The sanitizers' search for leaks cannot be traced.
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	run_bg strace strace -f -y -o "$KT_TMP/strace.out" -p "$BROKER" \
		-e trace=open,openat,creat,write,pwrite64,writev,fsync,fdatasync,rename,unlink,ftruncate,fallocate
	STRACE=$BG_PID
	wait_for_line 10 "$KT_TMP/strace.log" "attached" || fatal "strace does not attach"
fi
probe "$(dirname "$0")/abuse.py" refused
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	kill "$STRACE"
	wait_for_exit 10 "$STRACE"
	check 'strace has seen the broker write its log' grep -q "write([0-9]*<$KT_TMP/broker.log>" "$KT_TMP/strace.out"
	# (Debian's broker asks libwrap about every address: hosts.allow, hosts.deny; who says what time it is, once, localtime)
	check_eq 'of 60 refusals nothing else was opened, written, synced or renamed' \
		"$(grep -vE "write(v)?\([0-9]+<($KT_TMP/broker.log|TCP|UNIX|socket:|pipe:|anon_inode:)" "$KT_TMP/strace.out" |
			grep -vE 'openat\(.*"/etc/(hosts\.(allow|deny)|localtime)", O_RDONLY' |
			grep -E '(open|openat|creat|write|pwrite64|writev|fsync|fdatasync|rename|unlink|ftruncate|fallocate)\(')" ''
fi
probe "$(dirname "$0")/abuse.py" floods
scene_stop
finish
