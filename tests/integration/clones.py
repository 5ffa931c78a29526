"""The story of test_clones.sh. argv[1]: which part of it."""

import json
import re
import sys
import time

from broker import Broker
from device import DEV_TOPIC, Device, b64u, binding, jws, make_csr, new_key, unb64u
from mqtt5 import Client
from scene import NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
DAY_US = 86_400_000_000
SIGNS = r"event=(?:clone\.alarmed|clone\.suspected|session\.contended)"
NETWORKS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
STAYING = []  # connections that end when the broker ends them: Python would close what nobody holds


def signs(device, start):
    """(event, signal) of each sign of this device since then."""
    found = re.findall(rf"event=(clone\.alarmed|clone\.suspected|session\.contended) device={device} .*?signal=(\S+)",
                       scene.log_from(start))
    return found


def settled(device, start):
    """The same, when the plugin has had its turn."""
    scene.command("status")
    return signs(device, start)


def told(device, start, event, signal):
    """Waits for one sign, and gives all."""
    scene.logged_since(start, rf"event={re.escape(event)} device={device} .*signal={signal}")
    return settled(device, start)


def come(device, identity, source, tag="agent"):
    """A connection of <device>:<tag> from this address, let in."""
    client = Device(scene, device, identity)
    client.source = source
    code = client.open(tag)
    assert code == 0, code
    STAYING.append(client)
    return client


def records(kind, device):
    """Of the ledger: (actor, note) of each record of this kind and device."""
    with open(scene.tmp + "/ledger/ledger.kt") as lines:
        found = [json.loads(line.split(" ", 1)[1]) for line in lines]
    return [(r["actor"], r.get("note")) for r in found if r["kind"] == kind and r.get("device") == device]


def may_publish(device, identity):
    """On the device's site topics, as its application."""
    client = scene.client(device + ":app", identity.path)
    code = client.publish(f"devices/{device}/x", "1")
    client.disconnect()
    return code < 0x80


def has_keyturn_topics(device, identity):
    agent = scene.agent(device, identity)
    scene.command("challenge", device=device)
    challenge = agent.expect("challenge")
    answer(agent, challenge)
    heard = scene.wait_log(rf"event=challenge\.answered device={device} ")
    agent.disconnect()
    return heard


def answer(agent, challenge, key=None, **changes):
    fields = dict(nonce=challenge["nonce"], fp=agent.identity.fingerprint,
                  report={"agent": "probe", "store": "file", "generation": str(agent.identity.generation), "phase": "stable"})
    fields.update(changes)
    agent.send("answer", key=key, **fields)


def released(device):
    scene.command("release", device=device)


# --- what raises each sign; each returns the identity that is current

def superseded(device):
    old = scene.new_hub(device)
    new = scene.rotated(device, old)
    time.sleep(1.1)  # superseded_drain, with which a late one is excused
    assert scene.connect_code(device, old.path) == NOT_AUTHORIZED
    return new


def second_key(device):
    hub = scene.new_hub(device)
    agent = scene.agent(device, hub)
    scene.command("rotate", device=device)
    rotate = agent.expect("rotate")
    scene.answer_rotate(agent, rotate, new_key())
    agent.expect("cert")
    scene.answer_rotate(agent, rotate, new_key())
    assert agent.reject_reason() == "key.second"
    return hub


def contended(device):
    hub = scene.new_hub(device)
    for turn in range(6):
        come(device, hub, NETWORKS[turn % 2])
    return hub


def old_answer(device):
    old = scene.new_hub(device)
    older_still = scene.rotated(device, old)
    new = scene.rotated(device, older_still)
    agent = scene.agent(device, new)
    scene.command("challenge", device=device)
    challenge = agent.expect("challenge")
    for _ in range(2):  # told once
        answer(agent, challenge, key=old.key, fp=old.fingerprint)
        assert agent.reject_reason() == "jws.sig"
    return new


def op_range(device):
    hub = scene.new_hub(device)
    agent = come(device, hub, "")
    for _ in range(2):  # told once
        agent.send("hello", agent="probe", store="file", generation=str(hub.generation), fp=hub.fingerprint,
                   phase="stable", op=str(int(time.time() * 1e6) + 2 * DAY_US))
        assert agent.reject_reason() == "op.range"
    return hub


RAISED = ((superseded, "clone.alarmed", "superseded", None), (second_key, "clone.alarmed", "second_key", "clone signal second_key"),
          (contended, "session.contended", "contended", "clone signal contended"),
          (old_answer, "clone.alarmed", "old_answer", "clone signal old_answer"),
          (op_range, "clone.alarmed", "op_range", "clone signal op_range"))


def alarms(has_policy):
    watcher = Client()
    watcher.unix(scene.socket)
    watcher.connect("op:watcher")
    watcher.subscribe("keyturn/v1/events/#")
    for raise_it, event, signal, note in RAISED:
        device = "hub-" + signal.replace("_", "-")
        start = scene.log_size()
        hub = raise_it(device)
        scene.equal(f"{signal} is told once, by its name", told(device, start, event, signal), [(event, signal)])
        while True:
            topic, text = watcher.message()
            if topic == "keyturn/v1/events/" + event:
                break
        scene.equal(f"{signal}: so is the event", (json.loads(text)["device"], json.loads(text)["signal"]), (device, signal))
        row = scene.command("getDevice", device=device)
        scene.equal(f"{signal}: nothing is revoked", row["state"], "active")
        is_out = has_policy and note is not None
        scene.equal(f"{signal}: quarantined only where a policy says so", row["quarantined"], is_out)
        scene.equal(f"{signal}: its site topics", may_publish(device, hub), not is_out)
        scene.check(f"{signal}: Keyturn's topics stay", has_keyturn_topics(device, hub))
        scene.equal(f"{signal}: what the ledger says", records("quarantine", device), [("keyturn", note)] if is_out else [])
        if is_out:
            released(device)
            scene.check(f"{signal}: an operator ends it", may_publish(device, hub))
            broker.restart()
            scene.check(f"{signal}: for good", may_publish(device, hub))
        else:
            broker.restart()  # a fresh allowance of log lines
        watcher = Client()
        watcher.unix(scene.socket)
        watcher.connect("op:watcher")
        watcher.subscribe("keyturn/v1/events/#")


# --- what raises none

def silences():
    """What an honest hub and its network do, with devices of which no clone was ever told."""
    hub = scene.new_hub("hub-1")
    start = scene.log_size()
    for _ in range(20):
        come("hub-1", hub, NETWORKS[0])
    scene.check("whoever is taken over is thrown out", STAYING[-2].is_closed_within(5) and not STAYING[-1].is_closed_within(0.2))
    scene.equal("twenty take-overs from one address: a link that flaps", settled("hub-1", start), [])
    for turn in (0, 1, 0, 1, 0):
        come("hub-1", hub, NETWORKS[turn])
    scene.equal("another network, there and back, twice within a minute", settled("hub-1", start), [])
    hub = scene.rotated("hub-1", hub)
    for turn in range(12):
        come("hub-1", hub, NETWORKS[turn % 3])
    scene.equal("a NAT that hands out one address after the other", settled("hub-1", start), [])
    for turn in range(12):
        come("hub-1", hub, NETWORKS[turn % 2]).disconnect()
    scene.equal("networks in turn, with a goodbye each time", settled("hub-1", start), [])
    for turn in range(12):
        come("hub-1", hub, NETWORKS[turn % 2], tag=f"app{turn % 2}")
    scene.equal("two programs on two machines of the hub", settled("hub-1", start), [])
    broker.restart()

    start = scene.log_size()
    pending, cert = scene.issue("hub-1", hub)
    scene.commit("hub-1", pending, cert)
    for _ in range(3):
        scene.refused("the old pair before promoted", "cert.superseded", "hub-1:log", hub.path)
    scene.equal("is a suspicion each time, and no alarm", settled("hub-1", start), [("clone.suspected", "superseded")] * 3)
    scene.promote("hub-1", pending, cert["op"])
    scene.refused("the old pair just after promoted", "cert.superseded", "hub-1:log", hub.path)
    scene.equal("is one, too: it was under way", settled("hub-1", start), [("clone.suspected", "superseded")] * 4)
    hub = pending
    broker.restart()

    start = scene.log_size()
    agent = scene.agent("hub-1", hub)
    scene.command("rotate", device="hub-1")
    rotate = agent.expect("rotate")
    key = new_key()
    scene.answer_rotate(agent, rotate, key)
    first = agent.expect("cert")
    scene.answer_rotate(agent, rotate, key)
    scene.equal("a csr whose answer was lost has the same certificate", agent.expect("cert")["chain"], first["chain"])
    given = dict(first, nonce=rotate["nonce"])
    agent.disconnect()
    new = scene.save_identity("hub-1", key, first["chain"])
    scene.commit("hub-1", new, given)
    trial = Device(scene, "hub-1", new)
    trial.open("trial")
    scene.equal("a committed that was lost is said again", trial.hello(phase="cert", op=given["op"])["next"], "committed")
    trial.disconnect()
    scene.promote("hub-1", new, given["op"])
    scene.promote("hub-1", new, given["op"])
    scene.equal("lost replies", settled("hub-1", start), [])

    agent = scene.agent("hub-1", new, op=str(int(time.time() * 1e6) + DAY_US // 2))
    scene.check("a newer op within its bound is registry.behind", scene.logged_since(start, r"event=registry\.behind device=hub-1"))
    scene.equal("and no alarm", settled("hub-1", start), [])
    agent.send("csr", op="7", nonce=b64u(bytes(16)), csr=b64u(make_csr(new_key(), "hub-1", "x")))
    scene.equal("an op of old is no alarm", (agent.reject_reason(), settled("hub-1", start)), ("op.stale", []))
    stranger = new_key()
    agent.publish(DEV_TOPIC, jws(stranger, agent.payload("failed", op="7", reason="disk")))
    scene.equal("nobody's signature is no alarm", (agent.reject_reason(), settled("hub-1", start)), ("jws.sig", []))
    neighbour = scene.new_hub("hub-2")
    neighbour_old, neighbour = neighbour, scene.rotated("hub-2", neighbour)
    agent.publish(DEV_TOPIC, jws(neighbour_old.key, agent.payload("failed", op="7", reason="disk")))
    scene.equal("nor is another hub's old one", (agent.reject_reason(), settled("hub-1", start), settled("hub-2", start)), ("jws.sig", [], []))
    scene.equal("nobody was quarantined", re.findall(r"event=device\.quarantined", scene.log_from(0)), [])
    broker.restart()


# --- challenges by themselves

TIMEOUT_S, EVERY_S = 4, 8  # as test_clones.sh has them


def heard(agent, kind, timeout=3 * EVERY_S):
    """The next message of this type, whatever comes before it."""
    while True:
        message = agent.expect(None, timeout)
        if message["type"] == kind:
            return message


def challenged(agent):
    return heard(agent, "challenge")


def refusal(agent):
    return heard(agent, "reject")["reason"]


def silence(policy):
    hub = scene.new_hub("hub-1")
    start = scene.log_size()
    agent = scene.agent("hub-1", hub)
    app = scene.client("hub-1:app", hub.path)
    first = challenged(agent)
    at = time.monotonic()
    answer(agent, first)
    scene.check(f"{policy}: a hub is challenged by itself", scene.logged_since(start, r"event=challenge\.answered device=hub-1"))
    second = challenged(agent)
    scene.check(f"{policy}: once in each period", EVERY_S / 2 < time.monotonic() - at < 2 * EVERY_S, time.monotonic() - at)
    scene.check(f"{policy}: by another nonce", second["nonce"] != first["nonce"])
    answer(agent, first)
    scene.equal(f"{policy}: an answer to the last one is refused", refusal(agent), "nonce.wrong")
    answer(agent, second, fp="0" * 64)
    scene.equal(f"{policy}: so is one for another certificate", refusal(agent), "fp.wrong")
    scene.equal(f"{policy}: and nothing is missed yet", re.findall(r"event=challenge\.missed", scene.log_from(start)), [])
    scene.check(f"{policy}: wrong answers are as good as none",
                scene.logged_since(start, r"event=challenge\.missed device=hub-1", 4 * TIMEOUT_S))
    row = lambda: scene.command("getDevice", device="hub-1")
    if policy == "disconnect":
        scene.check("disconnect: the agent's session is ended", agent.is_closed_within(5))
        scene.event_since("disconnect: for that", start, "session.ended", "client=hub-1:agent", "reason=challenge.timeout")
        scene.check("disconnect: the hub's other program goes on", app.publish("devices/hub-1/x", "1") < 0x80)
        agent = scene.agent("hub-1", hub)
    else:
        answer(agent, second)
        scene.equal(f"{policy}: a late answer is refused", refusal(agent), "nonce.wrong")
    if policy == "quarantine":
        scene.equal("quarantine: its site topics are gone", app.publish("devices/hub-1/x", "1"), NOT_AUTHORIZED)
        scene.equal("quarantine: by the plugin's own record", records("quarantine", "hub-1"), [("keyturn", "challenge missed")])
    else:
        scene.equal(f"{policy}: the device is not quarantined", (row()["quarantined"], records("quarantine", "hub-1")), (False, []))
    third = challenged(agent)
    answer(agent, third)
    scene.check(f"{policy}: the next period tries again",
                scene.logged_since(start, r"(?s)event=challenge\.missed.*event=challenge\.answered device=hub-1"))
    scene.equal(f"{policy}: which ends no quarantine", row()["quarantined"], policy == "quarantine")
    if policy == "quarantine":
        released("hub-1")
        scene.check("quarantine: an operator does", app.publish("devices/hub-1/x", "1") < 0x80)

    start = scene.log_size()
    challenged(agent)
    agent.close()  # in the middle of it: a hub that is away has missed nothing
    time.sleep(TIMEOUT_S + 2)  # its deadline, and the walk that would notice
    scene.equal(f"{policy}: who is offline is not silent", re.findall(r"event=challenge\.missed", scene.log_from(start)), [])
    time.sleep(EVERY_S)  # a period without a session
    scene.equal(f"{policy}: nor is it asked", re.findall(r"event=challenge\.|event=device\.quarantined", scene.log_from(start)), [])
    scene.equal(f"{policy}: it is left as it was", (row()["state"], row()["quarantined"]), ("active", False))


part = sys.argv[1]
if part == "report":
    silences()
    alarms(False)
elif part == "quarantine":
    silences()
    alarms(True)
else:
    silence(part.split("-", 1)[1])
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
