#!/bin/bash
# A policy file: a bad one refuses the start and, at SIGHUP, changes nothing; a group's age holds for that group alone; the
# fleet's ceiling holds the orders back.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
KEYTURN_LINES+=("policy_file = $KT_TMP/policy.conf")
scene_write
probe "$KT_ROOT/tests/integration/policy.py"
finish
