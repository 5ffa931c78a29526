"""The story of test_versions.sh. argv[1]: "differences", or "passed-by" (a listener lets certificates in by itself)."""

import os
import re
import signal
import subprocess
import sys
import time

import version
from broker import Broker
from certs import forge
from mqtt5 import Client
from scene import CONTROL, NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
SERIES = ".".join(map(str, version.BROKER[:2]))
BANNED, BAD_ID, BUSY = 0x8a, 0x85, 0x89
REFUSED_3_1_1 = 5  # the one code that MQTT 3.1.1 has for "not authorized"


def codes(client_id, identity, **options):
    """The CONNACK of MQTT 5 and of 3.1.1."""
    return tuple(scene.connect_code(client_id, identity, level=level, **options) for level in (5, 4))


def refusal(code):
    """What a refusal looks like in both, where a broker that knows more says `code`."""
    return (code if version.NAMES_REFUSALS else NOT_AUTHORIZED), REFUSED_3_1_1


class Held:
    """The disk hangs: no write of the broker becomes durable meanwhile."""

    def __enter__(self):
        pid = broker.process.pid
        self.strace = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", scene.tmp + "/strace.out", "-e", "trace=fdatasync,fsync", "-e",
             "inject=fdatasync,fsync:delay_enter=120000000", "-p", str(pid)], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not all(re.search(r"(?m)^TracerPid:\t[1-9]", self._status(pid, task)) for task in os.listdir(f"/proc/{pid}/task")):
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.01)
        return self

    @staticmethod
    def _status(pid, task):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as status:
            return status.read()

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGTERM)
        self.strace.wait(20)


def is_online(device):
    return scene.command("getDevice", device=device)["online"]


def becomes(device, online):
    deadline = time.monotonic() + 5
    while is_online(device) != online:
        if time.monotonic() > deadline:
            return False
    return True


def differences():
    scene.logged("the plugin knows its broker", rf"event=plugin\.started .*broker={re.escape(SERIES)}(?: |$)")
    hub = scene.new_hub("hub-1")
    other = scene.new_hub("hub-2")
    pending, _ = scene.issue("hub-2", other)
    left = scene.new_hub("hub-3")
    stays = scene.rotated("hub-3", left)

    # --- refusals

    scene.equal("a good hub, in both", codes("hub-1", hub.path), (0, 0))
    scene.equal("a client id that is not its own", codes("hub-2", hub.path), refusal(BAD_ID))
    forged = forge(scene.tmp + "/forged.pem", scene.tmp + "/pki", f"spiffe://{scene.td}/device/hub-1", "hub-1")
    scene.equal("a certificate that nobody knows", codes("hub-1", forged), refusal(NOT_AUTHORIZED))
    scene.equal("a pending one", codes("hub-2:agent", pending.path), refusal(NOT_AUTHORIZED))
    scene.equal("a superseded one", codes("hub-3:agent", left.path), refusal(NOT_AUTHORIZED))

    # --- no verdict yet: nobody must take that for a refusal

    with Held():
        boss = scene.client("op:boss", port="unix")
        boss.publish(CONTROL, '{"commands":[{"command":"revoke","device":"hub-3","emergency":true}]}')
        scene.equal("while the revoke is not on disk: come back, in both", codes("hub-3:agent", stays.path),
                    (BUSY if version.NAMES_REFUSALS else "closed", "closed"))
    scene.equal("the operator is told once it is", b'"error"' in boss.message()[1], False)
    scene.equal("from then on revoked", codes("hub-3:agent", stays.path), refusal(BANNED))

    # --- a connection that is lost

    for name, options in (("a session that ends with its connection", {}), ("a session that outlives it", {"expiry": 600})):
        agent = scene.client("hub-1:agent", hub.path, **options)
        scene.check(f"{name} is there", becomes("hub-1", True))
        agent.close()
        scene.check(f"{name} is gone when its connection is", becomes("hub-1", False))
    agent = scene.client("hub-1:agent", hub.path, expiry=600)
    scene.check("it comes back", becomes("hub-1", True))
    second = scene.client("hub-1:agent", hub.path, expiry=600)
    scene.check("another connection takes over", agent.is_closed_within(5))
    scene.equal("and the first one hears why, where the broker says it", agent.disconnect_reason,
                0x8e if version.TELLS_TAKEOVER else None)
    scene.check("who took over is there", is_online("hub-1"))
    second.close()
    scene.check("until it goes", becomes("hub-1", False))
    scene.command("revoke", device="hub-1", emergency=True)
    scene.equal("a revoke while it is offline", codes("hub-1:agent", hub.path), refusal(BANNED))
    scene.check("and the broker runs", broker.is_running())


def passed_by():
    claim = scene.tmp + "/claim.pem"
    start = scene.log_size()
    client = Client()
    scene.reach(client, claim)
    scene.equal("the broker lets a certificate in by itself", client.connect("visitor"), 0)
    if version.TELLS_CONNECTS:
        scene.check("the plugin ends that session", client.is_closed_within(5))
        scene.event_since("and says why", start, "client.refused", "reason=not.asked", "client=visitor")
    else:
        scene.equal("it has no topics: it may not write", client.publish("site/x", "x"), NOT_AUTHORIZED)
        scene.equal("nor read", client.subscribe("site/#"), NOT_AUTHORIZED)
        scene.no_event_since("of the connect the plugin is not told", start, "client.refused", "reason=not.asked")
    start = scene.log_size()
    asked = scene.client("visitor-2", port="plain", username="site", password="right")
    scene.check("who was asked about stays", asked.publish("site/x", "x") < 0x80)
    scene.no_event_since("and nothing is said", start, "client.refused", "reason=not.asked")


{"differences": differences, "passed-by": passed_by}[sys.argv[1]]()
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
