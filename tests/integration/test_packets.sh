#!/bin/bash
# Malformed MQTT packets by the hundred, before and after CONNECT, on every kind of listener: each ends its
# own connection and nobody else's, and the broker with the plugin lives on.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp
scene_pki
scene_write
probe "$(dirname "$0")/packets.py"
finish
