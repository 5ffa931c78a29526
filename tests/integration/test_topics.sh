#!/bin/bash
# What those who are in may say and hear: no hub another hub's topics, nobody a hub's commands, no will
# what its client may not say itself.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_operator vera viewer
PLAIN_PORT=$(free_port)
export PLAIN_PORT
# The broker itself would let everybody do everything.
KEYTURN_LINES+=('other_acl = allow')
BROKER_LINES+=('allow_anonymous true')
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/topics.py"
finish
