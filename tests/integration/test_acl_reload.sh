#!/bin/bash
# The site's topics, read again on SIGHUP: they hold at once, also for who is in session and has subscribed;
# a file with an error changes nothing; what needs a restart is named.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
PLAIN_PORT=$(free_port)
export PLAIN_PORT
KEYTURN_LINES+=('other_acl = allow' 'acl = readwrite devices/%d/#' 'acl = read news/#')
BROKER_LINES+=('allow_anonymous true')
LISTENER_LINES+=("listener $PLAIN_PORT 127.0.0.1")
scene_write
probe "$KT_ROOT/tests/integration/acl_reload.py"
finish
