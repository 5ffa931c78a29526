"""The story of test_revoke.sh."""

import glob
import os
import time

from broker import Broker
from device import Device, b64u, new_key
from mqtt5 import Client, Closed, Timeout
from scene import NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")


def device_of(name):
    return scene.command("getDevice", device=name)


def with_will(client_id, identity):
    """A program of the hub that leaves a will, if it is let to."""
    client = scene.client(client_id, identity.path, will=(f"devices/{client_id.split(':')[0]}/will", "gone"))
    client.subscribe(f"devices/{client_id.split(':')[0]}/#")
    return client


class Hub:
    """A hub in the middle of a rotation, with all the sessions that it can have."""

    def __init__(self, name):
        self.name = name
        first = scene.new_hub(name)
        self.old = first
        self.current = scene.rotated(name, first)
        self.pending, self.given = scene.issue(name, self.current)
        self.agent = scene.agent(name, self.current, phase="cert", op=self.given["op"])
        self.trial = Device(scene, name, self.pending)
        self.trial.open("trial")
        self.trial.hello(phase="cert", op=self.given["op"])
        self.programs = {tag: with_will(name + tag, self.current) for tag in ("", ":app", ":ui")}

    def is_out(self, what):
        """No session is left, no credential opens one."""
        name = self.name
        for tag, program in self.programs.items():
            scene.check(f"{what}: {name + tag} is ended", program.is_closed_within(2))
        scene.equal(f"{what}: no session is left", device_of(name)["sessions"], [])
        self.stays_out(what)

    def stays_out(self, what, superseded="cert.superseded"):
        for words, identity, reason in (("current", self.current, "cert.revoked"), ("pending", self.pending, "cert.revoked"),
                                        ("superseded", self.old, superseded)):
            for tag in ("", ":agent", ":trial"):
                scene.refused(f"{what}: its {words} credential as {self.name + tag}", reason, self.name + tag, identity.path)


def no_will(name):
    """What the watcher hears next is its own."""
    mark = os.urandom(4).hex().encode()
    scene.client("marker", port="plain").publish("devices/mark", mark)
    heard = []
    while not heard or heard[-1] != ("devices/mark", mark):
        heard.append(watcher.message())
    scene.equal(name, [t for t, _ in heard[:-1] if t.endswith("/will")], [])


def all_that_comes(client):
    """The messages until the connection ends."""
    got = []
    try:
        while True:
            got.append(client.expect(timeout=5))
    except (Closed, Timeout) as end:
        return got, isinstance(end, Closed)


# --- with a notice

hub = Hub("hub-1")
mute = scene.new_hub("hub-2")  # its agent is in, but has not said hello: no notice can be bound to it
mute_agent = Device(scene, "hub-2", mute)
mute_agent.open("agent")
start = scene.log_size()
began = time.monotonic()
scene.command("revoke", device="hub-1", note="stolen")
for name, session in (("agent", hub.agent), ("trial", hub.trial)):
    got, ended = all_that_comes(session)
    scene.equal(f"its {name} gets a signed notice and then its end",
                ([(m["type"], m.get("reason"), m.get("wipe")) for m in got], ended), ([("revoked", "revoked", False)], True))
scene.check("within three seconds", time.monotonic() - began < 3, time.monotonic() - began)
scene.event_since("the operators hear of it", start, "device.revoked", "device=hub-1", "actor=op:unix")
for client_id in ("hub-1", "hub-1:app", "hub-1:agent", "hub-1:trial"):
    scene.event_since(f"{client_id} is ended as revoked", start, "session.ended", f"client={client_id}", "reason=cert.revoked")
hub.is_out("revoked")
no_will("what it left as its will is not published")
scene.equal("the others are not disturbed", mute_agent.hello()["next"], "none")
scene.equal("it cannot be rotated", scene.error_of("rotate", device="hub-1"), "state")
scene.equal("to revoke it once more does no harm", scene.error_of("revoke", device="hub-1"), None)
scene.equal("but seen", [device_of("hub-1")[n] for n in ("state", "online")], ["revoked", False])
mute_agent.close()
second = Device(scene, "hub-2", mute)
second.open("agent")
began = time.monotonic()
scene.command("revoke", device="hub-2", wipe=True)
scene.check("an agent without a hello is ended without a notice", second.is_closed_within(1) and second.messages == [])

broker.restart()
hub.stays_out("after a restart")
broker.stop()
for path in glob.glob(scene.tmp + "/state/index*"):
    os.unlink(path)
broker.start()
hub.stays_out("with the index rebuilt")
broker.kill()
os.unlink(scene.socket)
broker.start()

# --- with wipe; the acknowledgement is the fact

hub_3 = scene.new_hub("hub-3")
agent = scene.agent("hub-3", hub_3)
scene.command("revoke", device="hub-3", wipe=True)
scene.refused("who was revoked a moment ago", "cert.revoked", "hub-3:agent", hub_3.path)
scene.equal("wipe stands in the notice", [(m["type"], m["wipe"]) for m in all_that_comes(agent)[0]], [("revoked", True)])
broker.kill()
os.unlink(scene.socket)
broker.start()
scene.refused("a revoke that was acknowledged survives kill -9", "cert.revoked", "hub-3:agent", hub_3.path)

# --- at once

watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")
hub = Hub("hub-4")
start = scene.log_size()
admin = scene.client("op:me", port="unix")
answer = scene.control(admin, {"command": "revoke", "device": "hub-4", "emergency": True})[0]
scene.check("an emergency is acknowledged", "error" not in answer, answer)
scene.check("by then everything is over", scene.log_from(start).count("event=session.ended") == 5, scene.log_from(start)[-2000:])
for name, session in (("agent", hub.agent), ("trial", hub.trial)):
    scene.equal(f"its {name} gets no notice, only its end", all_that_comes(session), ([], True))
hub.is_out("emergency")
no_will("its will is not published")
broker.restart()
hub.stays_out("emergency, after a restart")

# --- back with a ticket

broker.restart()
key = new_key()
secret = scene.ticket_secret("hub-4")
claim = Device(scene, "hub-4")
claim.source = scene.source()
claim.open_claim(scene.claim_port)
claim.enroll(key, ticket=b64u(secret))
back = scene.confirm("hub-4", key, claim.expect("enrolled"))
scene.check("a ticket brings a revoked hub back", device_of("hub-4")["state"] == "active" and back.generation > hub.pending.generation,
            device_of("hub-4"))
scene.let_in("with its new credential", "hub-4", back.path)
hub.stays_out("back again")

# --- deleted

broker.restart()
watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")
hub = Hub("hub-5")
ticket = scene.ticket_secret("hub-5")
start = scene.log_size()
scene.command("deleteDevice", device="hub-5")
scene.event_since("the operators hear of a deletion", start, "device.deleted", "device=hub-5", "actor=op:unix")
for name, session in (("agent", hub.agent), ("trial", hub.trial)):
    scene.check(f"its {name} is ended", session.is_closed_within(2))
for tag, program in hub.programs.items():
    scene.check(f"deleted: hub-5{tag} is ended", program.is_closed_within(2))
no_will("a deleted hub's will is not published")
hub.stays_out("deleted", superseded="cert.revoked")
scene.check("it is no longer in the list", "hub-5" not in [d["device"] for d in scene.command("listDevices")["devices"]])
scene.equal("and cannot be rotated", scene.error_of("rotate", device="hub-5"), "state")
scene.equal("or deleted twice", scene.error_of("deleteDevice", device="hub-5"), "state")
start = scene.log_size()
claim = Device(scene, "hub-5")
claim.source = scene.source()
claim.open_claim(scene.claim_port)
claim.enroll(new_key(), ticket=b64u(ticket))
scene.equal("its open ticket is worth nothing", claim.reject_reason(), "claim.refused")
broker.restart()
scene.command("createDevice", device="hub-5")
again = scene.new_hub("hub-5")
scene.let_in("another hub may have the name", "hub-5", again.path)
hub.stays_out("the name given away")

# --- quarantined

broker.restart()
held = scene.new_hub("hub-6")
app = with_will("hub-6:app", held)
agent = scene.agent("hub-6", held)
watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")
other = scene.client("other", port="plain")
start = scene.log_size()
scene.command("quarantine", device="hub-6", note="odd")
scene.event_since("the operators hear of a quarantine", start, "device.quarantined", "device=hub-6", "actor=op:unix")
scene.equal("its programs may not publish", app.publish("devices/hub-6/state", "x"), NOT_AUTHORIZED)
scene.equal("nor subscribe", app.subscribe("devices/hub-6/more"), NOT_AUTHORIZED)
other.publish("devices/hub-6/order", "open the door")
scene.equal("others hear that", watcher.message(), ("devices/hub-6/order", b"open the door"))
try:
    scene.check("nor hear what they had subscribed to", False, app.message(0.3))
except Timeout:
    scene.check("nor hear what they had subscribed to", True)
scene.let_in("it may connect", "hub-6:more", held.path)
scene.command("challenge", device="hub-6")
scene.equal("its agent is challenged", agent.expect("challenge")["type"], "challenge")
scene.command("rotate", device="hub-6")
scene.equal("and rotated", agent.expect("rotate")["cur"], held.fingerprint)
scene.command("cancel", device="hub-6")
agent.disconnect()
held = scene.rotated("hub-6", held)
broker.restart()
app = scene.client("hub-6:app", held.path)
scene.equal("a restart does not end it, nor does a rotation", app.publish("devices/hub-6/state", "x"), NOT_AUTHORIZED)
scene.equal("twice is once", scene.error_of("quarantine", device="hub-6"), "state")
scene.command("release", device="hub-6")
scene.check("release gives the topics back, to sessions that are there, too", app.publish("devices/hub-6/state", "x") < 0x80)
scene.equal("and once is enough", scene.error_of("release", device="hub-6"), "state")
# --- what it leaves in the broker


def retained():
    """What a new subscriber is given, up to the fence; as topic: payload."""
    reader = scene.client("reader-" + os.urandom(4).hex(), port="plain")
    reader.subscribe("devices/#")
    mark = os.urandom(4).hex().encode()
    reader.publish("devices/mark", mark)
    got = {}
    while got.get("devices/mark") != mark:
        topic, payload = reader.message()
        got[topic] = payload
    reader.disconnect()
    del got["devices/mark"]
    return got


def keep(name, identity, tag):
    client = Client()
    scene.reach(client, identity.path)
    return client, client.connect(f"{name}:{tag}", clean=False, expiry=3600)


def waiting(client, fence):
    """What comes to a session that is there again, up to a message of its own time."""
    mark = os.urandom(4).hex().encode()
    client.subscribe(fence)
    scene.client("marker", port="plain").publish(fence, mark)
    got = []
    while not got or got[-1] != mark:
        got.append(client.message()[1])
    return got[:-1]


def leave_behind(name):
    """Retained messages, a session that is there and one that is away, with a message that waits for it."""
    identity = scene.new_hub(name)
    live, _ = keep(name, identity, "live")
    live.subscribe(f"devices/{name}/#")
    away, _ = keep(name, identity, "away")
    away.subscribe(f"devices/{name}/order")
    away.close()
    live.publish(f"devices/{name}/status", "on", retain=True)
    visitor = scene.client("visitor", port="plain")
    visitor.publish(f"devices/{name}/order", "before")
    visitor.publish(f"devices/{name}/wanted", "on", retain=True)
    heard = [live.message()[1] for _ in range(3)]
    assert heard == [b"on", b"before", b"on"], heard
    scene.equal(f"{name}: before, both retained messages are there", retained().get(f"devices/{name}/status"), b"on")
    return identity, live


def is_left(what, name):
    now = retained()
    scene.equal(f"{what}: what it had retained is not handed out, what others had for it is",
                ([t for t in now if t == f"devices/{name}/status"], now.get(f"devices/{name}/wanted")), ([], b"on"))


broker.restart()
for name, end in (("hub-7", dict(command="revoke", device="hub-7", emergency=True)), ("hub-8", dict(command="deleteDevice", device="hub-8")),
                  ("hub-9", dict(command="revoke", device="hub-9"))):
    left, live = leave_behind(name)
    scene.operator(end)
    what = f"{name}, {end['command']}"
    scene.check(f"{what}: its session is ended", live.is_closed_within(4))
    is_left(what, name)
    for tag in ("live", "away"):
        scene.refused(f"{what}: its session {tag}", "cert.revoked", f"{name}:{tag}", left.path, clean=False, expiry=3600)
    scene.client("visitor", port="plain").publish(f"devices/{name}/order", "meanwhile")
broker.restart()
for name in ("hub-7", "hub-8", "hub-9"):
    is_left(f"{name}, after a restart", name)
back = scene.new_hub("hub-7")
client, code = keep("hub-7", back, "live")
scene.equal("a hub that is enrolled anew finds the session, but no subscription and no message of it",
            (code, client.session_present, waiting(client, "devices/hub-7/mark")), (0, True, []))
client, code = keep("hub-7", back, "away")
scene.equal("and of what was sent to it only what waited before", (code, waiting(client, "devices/hub-7/mark")), (0, [b"before"]))
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
