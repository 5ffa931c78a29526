#!/bin/bash
# A rotation from the broker's side: what the commit ends and what it leaves for a while, what a second
# key costs, and that a broker which dies at any moment of it locks nobody out.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_operator vera viewer
PLAIN_PORT=$(free_port)
export PLAIN_PORT
KEYTURN_LINES+=('other_acl = allow' 'superseded_drain = 4s' 'promote_overdue = 1s' 'challenge_timeout = 2s' 'workers = 4')
BROKER_LINES+=('allow_anonymous true')
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/rotation.py"
finish
