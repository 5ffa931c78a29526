#!/bin/bash
# How a hub is thrown out: revoked with a notice, revoked at once, deleted, quarantined; with all its
# sessions open, over a restart, and without its last will; and what it leaves in the broker: sessions,
# subscriptions, messages that wait, retained ones.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
PLAIN_PORT=$(free_port)
export PLAIN_PORT
KEYTURN_LINES+=('other_acl = allow')
BROKER_LINES+=('allow_anonymous true' 'persistence true' "persistence_location $KT_TMP/")
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/revoke.py"
finish
