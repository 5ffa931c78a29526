#!/bin/bash
# How a hub gets its identity, and how it does not: tickets, registered keys, approval; a claim
# certificate alone, a ticket in two hands.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_write
probe "$KT_ROOT/tests/integration/enrol.py"
scene_write # once more, without the lane of those who hold nothing but a ticket
echo 'claim_without_certificate = refuse' >>"$KT_TMP/keyturn.conf"
probe "$KT_ROOT/tests/integration/enrol.py" refuse
finish
