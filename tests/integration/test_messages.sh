#!/bin/bash
# What a hub may say: every malformed, replayed, misdirected or untimely message is refused with its
# reason, and nothing of it is done.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_write
probe "$KT_ROOT/tests/integration/messages.py"
finish
