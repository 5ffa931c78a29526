#!/bin/bash
# The metrics for a collector: whole at any time, in Prometheus' text format, and what they say is what the registry says.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
mkdir "$KT_TMP/metrics"
KEYTURN_LINES+=("metrics_file = $KT_TMP/metrics/keyturn.prom" 'max_key_age = 30d')
scene_write
probe "$KT_ROOT/tests/integration/metrics.py"
finish
