#!/bin/bash
# Every way in that a hub has, tried after its revoke was acknowledged, while other hubs are revoked all
# the time. Short: 50 hubs; KT_LONG=1: 1,000, each on every route. Beside each try a hub that was not
# revoked goes the same way: in.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
HUBS=50 WORKERS=3
[ "${KT_LONG-}" != 1 ] || HUBS=1000 WORKERS=10
PLAIN_PORT=$(free_port)
SECOND_PORT=$(free_port)
export PLAIN_PORT SECOND_PORT HUBS WORKERS
KEYTURN_LINES+=('other_acl = allow')
BROKER_LINES+=('allow_anonymous true')
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1" "listener $SECOND_PORT 127.0.0.1" "cafile $KT_TMP/pki/clients.pem"
	"certfile $KT_TMP/pki/broker.pem" "keyfile $KT_TMP/pki/broker.key" 'require_certificate true' 'tls_version tlsv1.2')
scene_write
# with a superseded, a current and a pending certificate each; the last ones are never revoked
mkdir "$KT_TMP/identities"
"$KT_BUILD/tests/bench_fleet" "$KT_TMP/ledger" "$TD" "$KT_TMP/pki/issuing.pem" "$KT_TMP/pki/issuing.key" \
	"$KT_TMP/identities" $((HUBS + WORKERS)) $((HUBS + WORKERS)) three >"$KT_TMP/fleet.log" 2>&1 ||
	fatal "no fleet: $(tail -n 3 "$KT_TMP/fleet.log")"
probe "$KT_ROOT/tests/integration/routes.py"
finish
