# places.sh - what crash.sh and faults.sh need before their programs run. To be sourced by them, after lib.sh.
# shellcheck shell=bash

# Packages, build, $KT_TMP, a PKI in $KT_PKI_DIR; the environment of the programs.
prepare_places() {
	install_packages >&2 || fatal 'packages are missing'
	build_preset dev >&2 || fatal 'it does not build'
	# Files by the thousand, of which none has to last: in memory, where there is room.
	[ -n "${TMPDIR-}" ] || [ ! -w /dev/shm ] || TMPDIR=/dev/shm
	make_tmp
	{
		"$KT_PKI" init "$KT_TMP/pki" --trust-domain crash.example &&
			"$KT_PKI" broker "$KT_TMP/pki" --name localhost,127.0.0.1
	} >"$KT_TMP/pki.log" 2>&1 || fatal "no PKI: $(tail -n 3 "$KT_TMP/pki.log")"
	export KT_BUILD KT_BROKER KT_PKI_DIR=$KT_TMP/pki
	export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/crash:$KT_ROOT/tests/integration/probe
}

# run_places COMMAND...: its exit code; it ends with this script.
run_places() {
	"$@" </dev/null &
	KT_PIDS+=("$!")
	wait "$!"
}
