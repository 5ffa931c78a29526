#!/bin/bash
# The plugin's threads at work: core, store and workers without a broker, hubs that enrol, rotate, are revoked, the
# plugin started anew in the middle. With the build of the thread sanitizer (run.sh --only tsan): no race.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
THREADS=$KT_BUILD/tests/keyturn-threads
[ -x "$THREADS" ] || fatal "keyturn-threads is not built in $KT_BUILD"
HUBS=12
scene_pki
KEYTURN_LINES+=('workers = 4' "crl_file = $KT_TMP/fleet.crl" 'superseded_drain = 1s' 'challenge_timeout = 60s')
scene_write
code=0
"$THREADS" "$KT_TMP/keyturn.conf" "$KT_TMP/mosquitto.conf" "$KT_TMP/pki/root.pem" "$TD" "$KT_TMP/op.sock" "$HUBS" \
	>"$KT_TMP/figures" 2>"$KT_TMP/threads.log" || code=$?
check_eq 'the harness ends with success' "$code" 0
[ "$code" -eq 0 ] || tail -n 5 "$KT_TMP/threads.log"
check_reports
figure() { awk -v name="$1" '$1 == name { print $2 }' "$KT_TMP/figures"; }
check_eq 'all have enrolled' "$(figure device.enrolled)" "$HUBS"
check_eq 'all have rotated twice' "$(figure rotation.committed)" $((2 * HUBS))
check_eq 'and said so' "$(figure rotation.promoted)" $((3 * HUBS))
check_eq 'all have answered a challenge' "$(figure challenge.answered)" "$HUBS"
check_eq 'half of them are revoked' "$(figure device.revoked)" $((HUBS / 2))
check_eq 'the configuration was read again' "$(figure config.reloaded)" 1
check_eq 'nobody is taken for a copy' "$(figure clone.alarmed)" 0
check_eq 'the ledger is whole' "$(figure ledger.failed)" 0
finish
