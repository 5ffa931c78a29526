#!/bin/bash
# What time does: certificates with an end, also behind a resumed TLS session; keys that grow old; ops,
# trials and sessions that are waited for and do not come.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki

KEYTURN_LINES=('certificate_lifetime = 5s')
scene_write
probe "$KT_ROOT/tests/integration/deadlines.py" lifetime
rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock"

KEYTURN_LINES=('hello_timeout = 1s' 'claim_idle = 1s' 'op_deadline = 2s' 'pending_give_up = 3s')
scene_write
probe "$KT_ROOT/tests/integration/deadlines.py" patience
rm -rf "$KT_TMP/state" "$KT_TMP/ledger" "$KT_TMP/op.sock"

KEYTURN_LINES=('max_key_age = 4s')
scene_write
probe "$KT_ROOT/tests/integration/deadlines.py" age
finish
