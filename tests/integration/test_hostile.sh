#!/bin/bash
# Does a real hub obey nobody but its controller, whatever the broker says, and does nothing that a
# broker says or does cost it its key? The broker is a false one, with the real one's certificate.

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

AGENT=$KT_BUILD/keyturn-agent
[ -x "$AGENT" ] || fatal "keyturn-agent is not built in $KT_BUILD"
scene_pki
scene_operator alice admin
cp "$KT_TMP/alice.pem" "$KT_TMP/op.pem"
{
	"$KT_PKI" init "$KT_TMP/other" --trust-domain "$TD" &&
		"$KT_PKI" broker "$KT_TMP/other" --name localhost &&
		cp -a "$KT_TMP/pki" "$KT_TMP/pki2" && rm "$KT_TMP/pki2"/broker.* &&
		"$KT_PKI" broker "$KT_TMP/pki2" --name elsewhere.example
} >>"$KT_TMP/pki.log" 2>&1 || fatal "no PKI: $(tail -n 3 "$KT_TMP/pki.log")"
cp "$KT_TMP/pki2/broker.pem" "$KT_TMP/pki/elsewhere.pem"
cp "$KT_TMP/pki2/broker.key" "$KT_TMP/pki/elsewhere.key"
scene_write
scene_start

mkdir -m 700 "$KT_TMP/hub-a"
cat >"$KT_TMP/hub-a/agent.conf" <<END
broker = localhost:$PORT
state_dir = $KT_TMP/hub-a/state
backoff_min = 1s
backoff_max = 1s
repeat_first = 2s
silence_min = 1s
connect_timeout = 5s
END
chmod 600 "$KT_TMP/hub-a/agent.conf"
PYTHONPATH=$KT_ROOT/tests/integration/probe /usr/bin/python3 -B - >"$KT_TMP/ticket" <<'END' || fatal "no ticket"
import os
from scene import Scene
os.umask(0o077)
scene = Scene()
scene.command("createDevice", device="hub-a")
open(scene.tmp + "/hub-a/ticket", "w").write(scene.command("createTicket", device="hub-a")["ticket"])
END
check 'a hub enrols with the honest broker' \
	"$AGENT" enroll -c "$KT_TMP/hub-a/agent.conf" --ticket-file "$KT_TMP/hub-a/ticket" --wait 30
scene_stop
probe "$(dirname "$0")/hostile.py"
finish
