"""The story of test_sighup.sh."""

import os
import threading
import time

from broker import Broker
from device import Device, b64u
from mqtt5 import Client, Closed
from scene import NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
hub = scene.new_hub("hub-1")
rotating = scene.new_hub("hub-2")
pending, given = scene.issue("hub-2", rotating)
old = scene.new_hub("hub-3")
new = scene.rotated("hub-3", old)
revoked = scene.new_hub("hub-4")
scene.command("revoke", device="hub-4", emergency=True)
held = scene.new_hub("hub-5")
scene.command("quarantine", device="hub-5")


def hang_up():
    """SIGHUP, until the plugin has been told and its next turn is over."""
    start = scene.log_size()
    broker.hup()
    assert scene.logged_since(start, r"event=plugin\.reloaded")
    scene.command("status")


# --- who is there before

agent = scene.agent("hub-1", hub)
app = scene.client("hub-1:app", hub.path)
app.subscribe("devices/hub-1/#")
trial = Device(scene, "hub-2", pending)
trial.open("trial")
trial.hello(phase="cert", op=given["op"])
mute = Device(scene, "hub-3", new)  # in, and has not said hello yet
mute.open("agent")
claim = Device(scene, "")
claim.open_claim(scene.port, scene.tmp + "/claim.pem")
confined = scene.client("hub-5", held.path)
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
viewer.subscribe("keyturn/v1/events/#")
site = scene.client("site-1", port="plain", username="site", password="right")
site.subscribe("site/#")
away = scene.client("hub-1:away", hub.path, clean=False, expiry=3600)
away.subscribe("devices/hub-1/#")
away.close()
before = {name: scene.command("getDevice", device=name) for name in ("hub-1", "hub-2", "hub-3", "hub-4", "hub-5")}

start = scene.log_size()
for _ in range(3):
    hang_up()
scene.no_event_since("SIGHUP ends no session", start, "session.ended")
scene.no_event_since("and refuses nobody", start, "client.refused")


# --- everybody is as he was

def without_times(device):
    return {k: v for k, v in device.items() if k != "sessions"}


for name, was in before.items():
    now = scene.command("getDevice", device=name)
    scene.equal(f"the registry says of {name} what it said", without_times(now), without_times(was))
    scene.equal(f"its sessions are the same", sorted(s["clientId"] for s in now["sessions"]),
                sorted(s["clientId"] for s in was["sessions"]))
scene.command("challenge", device="hub-1")
scene.equal("an agent goes on", agent.expect("challenge")["type"], "challenge")
scene.check("and may publish nothing but Keyturn's", agent.publish("devices/hub-1/state", "x") >= 0x80)
scene.check("a program goes on", app.publish("devices/hub-1/state", "1") < 0x80)
scene.equal("and hears", app.message(), ("devices/hub-1/state", b"1"))
scene.equal("but no other hub's topics", app.publish("devices/hub-2/state", "1"), NOT_AUTHORIZED)
scene.equal("a trial is a trial still", (trial.publish("devices/hub-2/state", "x"), trial.subscribe("devices/hub-2/#")),
            (NOT_AUTHORIZED, NOT_AUTHORIZED))
scene.equal("a hub in quarantine stays there", (confined.publish("devices/hub-5/state", "x"), confined.subscribe("devices/hub-5/#")),
            (NOT_AUTHORIZED, NOT_AUTHORIZED))
scene.equal("a claimant may no more than before", (claim.publish("devices/x", "x"), claim.publish("$CONTROL/keyturn/v1", "{}")),
            (NOT_AUTHORIZED, NOT_AUTHORIZED))
scene.equal("a viewer is a viewer still", scene.control(viewer, {"command": "cancel", "device": "hub-2"})[0]["error"], "denied")
scene.check("a user with a password goes on", site.publish("site/x", "y") < 0x80)
scene.equal("with his rights", site.message(), ("site/x", b"y"))
site.publish("devices/hub-1/state", "spoofed")
app.publish("devices/hub-1/state", "fence")
scene.equal("and no more than them", app.message(), ("devices/hub-1/state", b"fence"))
scene.equal("who had not said hello still may", mute.hello()["next"], "none")
back = Client()
scene.reach(back, hub.path)
back.connect("hub-1:away", clean=False, expiry=3600)
scene.equal("a program that was away finds what was sent meanwhile", [back.message()[1] for _ in range(2)], [b"1", b"fence"])
trial.send("confirm", op=given["op"], nonce=given["nonce"], fp=pending.fingerprint)
scene.equal("the trial can be confirmed", trial.expect("committed")["fp"], pending.fingerprint)

# --- who connects in that very moment

broker.restart()
fresh, fresh_given = scene.issue("hub-2", pending)
stop = threading.Event()
codes = {}


def knock(name, client_id, identity=None, port=None, **options):
    """Connects again and again, each time with the code that it gets."""
    got = codes.setdefault(name, [])
    while not stop.is_set():
        try:
            got.append(scene.connect_code(client_id() if callable(client_id) else client_id, identity, port, **options))
        except (OSError, Closed) as error:
            got.append(str(error))


knockers = [threading.Thread(target=knock, args=a, kwargs=k) for a, k in (
    (("a revoked hub", "hub-4", revoked.path), {}),
    (("a superseded credential", "hub-3:agent", old.path), {}),
    (("a pending credential as the agent", "hub-2:agent", fresh.path), {}),
    (("a stranger as a hub's program", "hub-1:app", None, "plain"), {}),
    (("a user as a hub's agent", "hub-1:agent", None, "plain"), dict(username="site", password="right")),
    (("a wrong password", "site-2", None, "plain"), dict(username="site", password="wrong")),
    (("a good hub", "hub-1:knock", hub.path), {}),
    (("a good user", "site-3", None, "plain"), dict(username="site", password="right")),
    (("a claimant", lambda: "claim:" + b64u(os.urandom(16)), scene.tmp + "/claim.pem"), {}),
)]
for knocker in knockers:
    knocker.start()
TRIES = 20
end = time.monotonic() + 120
hangups = 0
while (hangups < TRIES or len(codes) < len(knockers) or min(len(got) for got in codes.values()) < TRIES) and time.monotonic() < end:
    hang_up()
    hangups += 1
stop.set()
for knocker in knockers:
    knocker.join()
scene.check("the broker was sent SIGHUP often enough", hangups >= TRIES, hangups)
for name, got in sorted(codes.items()):
    good = name in ("a good hub", "a good user", "a claimant")
    wanted = {0} if good else {NOT_AUTHORIZED, 0x8a, 0x85}
    scene.check(f"{name} at every moment of SIGHUP: {'let in' if good else 'refused'}", got and set(got) <= wanted,
                f"{len(got)} times, {set(got)}")
scene.check("each tried often enough", min(len(got) for got in codes.values()) >= TRIES, {n: len(g) for n, g in codes.items()})
scene.equal("the pending one is pending still", scene.command("getDevice", device="hub-2")["pending"]["fp"], fresh.fingerprint)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
