"""What the brokers do differently, by their version: the one place that knows it. BROKER is (2, 0, 11).

Run as a program it says the same to a shell (lib.sh, broker_facts): BROKER_VERSION=2.0.11 and so on.
"""

import os
import re
import subprocess


def _version():
    text = subprocess.run([os.environ.get("KT_BROKER", "mosquitto"), "-h"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"mosquitto version (\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        raise RuntimeError("the broker does not say its version: " + text[:200])
    return tuple(int(part) for part in found.groups())


BROKER = _version()

# A refusal has a reason of its own in the CONNACK (MQTT 5); before, all of them have "not authorized".
NAMES_REFUSALS = BROKER >= (2, 1)
# The CONNACK of a credential that an operator has revoked.
REVOKED_CODE = 0x8a if NAMES_REFUSALS else 0x87
# A message to an endpoint of $CONTROL that no plugin has is answered; before, nothing ever comes.
ANSWERS_FOR_NOBODY = BROKER >= (2, 1)
# The plugin is told of each CONNACK, and of a persistent session that lost its connection in an event of its own.
TELLS_CONNECTS = BROKER >= (2, 1)
# A session that is taken over is told so (MQTT 5).
TELLS_TAKEOVER = BROKER >= (2, 0, 15)
# Knows global_plugin.
HAS_GLOBAL_PLUGIN = BROKER >= (2, 1)


def refuses_will(topic):
    """Its CONNECT is ended by the broker itself, without a CONNACK."""
    return BROKER >= (2, 0, 16) and topic.startswith("$CONTROL/")


if __name__ == "__main__":
    print("BROKER_VERSION=" + ".".join(map(str, BROKER)))
    print(f"REVOKED_CODE={REVOKED_CODE}")
    for name in ("NAMES_REFUSALS", "ANSWERS_FOR_NOBODY", "TELLS_CONNECTS", "HAS_GLOBAL_PLUGIN"):
        print(f"{name}={'yes' if globals()[name] else ''}")
