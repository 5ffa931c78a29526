#!/bin/bash
# A resumed TLS session checks no dates: is a certificate past its end refused all the same?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
KEYTURN_LINES+=('certificate_lifetime = 6s')
scene_write
scene_start
probe "$(dirname "$0")/resumed.py"
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
