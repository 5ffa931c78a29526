"""The story of test_rotation.sh."""

import glob
import os
import time

from broker import Broker
from device import DEV_TOPIC, Device, b64u, binding, jws, make_csr, new_key, unb64u
from mqtt5 import Timeout
from scene import Scene

scene = Scene()
broker = Broker(scene).start()


def site_client(client_id, identity):
    """A program of the hub that hears its own topics."""
    client = scene.client(client_id, identity.path)
    assert client.subscribe(f"devices/{client_id.split(':')[0]}/#") < 0x80
    return client


def works(client, device):
    """It publishes, and hears itself."""
    mark = os.urandom(4).hex().encode()
    if client.publish(f"devices/{device}/state", mark) >= 0x80:
        return False
    try:
        while client.message(2)[1] != mark:  # what the hub's other programs say comes as well
            pass
    except Timeout:
        return False
    return True


def issued(start):
    return scene.log_from(start).count("event=rotation.issued")


def device_of(name):
    return scene.command("getDevice", device=name)


# --- the commit: what goes at once, what stays for a while

old = scene.new_hub("hub-1")
app, tagged = site_client("hub-1", old), site_client("hub-1:app", old)
start = scene.log_size()
agent = scene.agent("hub-1", old)
scene.event_since("who is let in, and with what, is on record", start, "session.started", "client=hub-1:agent",
                  f"fp={old.fingerprint}")
start = scene.log_size()
scene.command("rotate", device="hub-1")
rotate = agent.expect("rotate")
scene.equal("rotate names the credential that it replaces", rotate["cur"], old.fingerprint)
key = new_key()
scene.answer_rotate(agent, rotate, key)
cert = agent.expect("cert")
scene.answer_rotate(agent, rotate, key)
scene.equal("the same request gets the same bytes", agent.expect("cert")["chain"], cert["chain"])
scene.equal("and is issued once", issued(start), 1)
new = scene.save_identity("hub-1", key, cert["chain"])
scene.equal("the new credential has the next generation", new.generation, old.generation + 1)
trial = Device(scene, "hub-1", new)
trial.open("trial")
scene.equal("its trial is told to confirm", trial.hello(phase="cert", op=rotate["op"])["next"], "confirm")
scene.check("beside it the agent lives on", agent.silence(0.1))
start = scene.log_size()
trial.send("promoted", op=rotate["op"], fp=new.fingerprint)
scene.equal("nobody promotes what is not committed", trial.reject_reason(), "confirm.session")
scene.equal("so the old one is current still", device_of("hub-1")["current"]["fp"], old.fingerprint)
trial.send("confirm", op=rotate["op"], nonce=rotate["nonce"], fp=new.fingerprint)
scene.equal("committed names the new one", trial.expect("committed")["fp"], new.fingerprint)
scene.check("the commit ends the old agent at once", agent.is_closed_within(1))
scene.event_since("and says why", start, "session.ended", "client=hub-1:agent", "reason=cert.superseded")
scene.check("the hub's programs keep their topics", works(app, "hub-1") and works(tagged, "hub-1"))
trial.send("confirm", op=rotate["op"], nonce=rotate["nonce"], fp=new.fingerprint)
scene.equal("a confirm once more gets its answer once more", trial.expect("committed")["op"], rotate["op"])
scene.equal("and commits nothing more", scene.log_from(start).count("event=rotation.committed"), 1)

start = scene.log_size()
for client_id in ("hub-1", "hub-1:agent", "hub-1:trial", "hub-1:more"):
    scene.refused(f"after the commit the old credential as {client_id}", "cert.superseded", client_id, old.path)
scene.event_since("before promoted that is a suspicion", start, "clone.suspected", "device=hub-1", f"fp={old.fingerprint}")
scene.no_event_since("and no alarm", start, "clone.alarmed")
late = Device(scene, "hub-1", new)
late.open("agent")
scene.equal("a hub that missed the answer", late.hello(phase="cert", op=rotate["op"])["next"], "committed")
scene.equal("gets it at its next hello", late.expect("committed")["fp"], new.fingerprint)
scene.check("the programs still work", works(app, "hub-1"))
start = scene.log_size()
late.send("promoted", op=rotate["op"], fp=new.fingerprint)
scene.equal("promoted is noted", late.expect("noted")["of"], "promoted")
scene.check("then the programs with the old credential are ended", app.is_closed_within(2) and tagged.is_closed_within(2))
scene.event_since("each with its reason", start, "session.ended", "client=hub-1:app", "reason=cert.superseded")
late.send("promoted", op=rotate["op"], fp=new.fingerprint)
scene.equal("promoted once more is noted once more", late.expect("noted")["op"], rotate["op"])
start = scene.log_size()
scene.refused("after promoted the old credential", "cert.superseded", "hub-1:agent", old.path)
scene.event_since("may have been under way: a suspicion", start, "clone.suspected", "device=hub-1")
deadline = time.monotonic() + 20
while "event=clone.alarmed" not in scene.log_from(start) and time.monotonic() < deadline:
    scene.connect_code("hub-1:agent", old.path)  # until superseded_drain is over
scene.event_since("later it is an alarm", start, "clone.alarmed", "device=hub-1", f"fp={old.fingerprint}", "reason=cert.superseded")
scene.no_event_since("that ends nobody", start, "session.ended")
scene.check("the hub goes on", late.silence(0.1) and works(site_client("hub-1", new), "hub-1"))
scene.equal("and is not frozen by it", device_of("hub-1")["frozen"], False)

# --- programs that never reload

broker.restart()
old = new
app = site_client("hub-1:app", old)
pending, given = scene.issue("hub-1", old)
start = scene.log_size()
scene.commit("hub-1", pending, given)
began = time.monotonic()
scene.check("without promoted they work for a while", works(app, "hub-1"))
scene.event_since("the operators hear that promoted is overdue", start, "promote.overdue", "device=hub-1",
                  f"op={given['op']}")
scene.check("superseded_drain ends them", app.is_closed_within(7))
scene.check("not before its time", time.monotonic() - began > 3.5, time.monotonic() - began)
scene.event_since("as superseded", start, "session.ended", "client=hub-1:app", "reason=cert.superseded")
scene.promote("hub-1", pending, given["op"])
hub = pending

# --- a newer order, a replay, a cancel

agent = scene.agent("hub-1", hub)
scene.command("rotate", device="hub-1")
first = agent.expect("rotate")
key = new_key()
scene.answer_rotate(agent, first, key)
given = agent.expect("cert")
dropped = scene.save_identity("hub-1", key, given["chain"])
trial = Device(scene, "hub-1", dropped)
trial.open("trial")
scene.command("rotate", device="hub-1")
second = agent.expect("rotate")
scene.check("a newer op has a higher number", int(second["op"]) > int(first["op"]))
scene.check("it ends the trial of the older one", trial.is_closed_within(2))
scene.refused("whose credential", "op.closed", "hub-1:trial", dropped.path)
scene.answer_rotate(agent, first, key)
scene.equal("a csr of the older op is stale", agent.reject_reason(), "op.stale")
scene.answer_rotate(agent, second, key)
scene.equal("a key of the older op is known", agent.reject_reason(), "key.known")
scene.answer_rotate(agent, second, new_key(), nonce=first["nonce"])
scene.equal("the older nonce is wrong", agent.reject_reason(), "nonce.wrong")
scene.command("cancel", device="hub-1")
scene.equal("a cancel is told", (agent.reject_reason(), device_of("hub-1")["phase"]), ("op.closed", "idle"))
scene.answer_rotate(agent, second, new_key())
scene.equal("and a csr after it is late", agent.reject_reason(), "op.closed")
scene.equal("nothing is left to cancel", scene.error_of("cancel", device="hub-1"), "state")
agent.disconnect()
hub = scene.rotated("hub-1", hub)
scene.equal("the next rotation goes through", device_of("hub-1")["current"]["fp"], hub.fingerprint)

# --- two keys at the same moment

twin = scene.new_hub("hub-2")
app = site_client("hub-2", twin)
agent = scene.agent("hub-2", twin)
scene.command("rotate", device="hub-2")
rotate = agent.expect("rotate")
start = scene.log_size()
nonce = unb64u(rotate["nonce"])
agent.publish_together(DEV_TOPIC, [jws(twin.key, agent.payload("csr", op=rotate["op"], nonce=rotate["nonce"], csr=b64u(make_csr(
    new_key(), "hub-2", binding(scene.td, "hub-2", rotate["op"], nonce))))) for _ in range(2)])
answers = {(a["type"], a.get("reason")) for a in (agent.expect(), agent.expect())}
# whether the first certificate was there before the second request was read is the workers' business
scene.check("of two keys at once the second ends it, whether or not the first had its certificate already",
            answers in ({("cert", None), ("reject", "key.second")}, {("reject", "op.closed"), ("reject", "key.second")}),
            answers)
scene.event_since("the device is frozen", start, "rotation.frozen", "device=hub-2", "reason=key.second")
scene.event_since("and somebody else may hold its key", start, "clone.alarmed", "device=hub-2", "reason=key.second")
scene.check("its sessions go on", works(app, "hub-2") and agent.silence(0.1))
shown = device_of("hub-2")
scene.equal("frozen, idle, the same current", (shown["frozen"], shown["phase"], shown["current"]["fp"], "pending" in shown),
            (True, "idle", twin.fingerprint, False))
broker.restart()
scene.equal("also after a restart", (device_of("hub-2")["frozen"], scene.error_of("rotate", device="hub-2")), (True, "frozen"))
scene.equal("a release from quarantine does not thaw it", scene.error_of("release", device="hub-2"), "state")
scene.command("release", device="hub-2", freeze=True)
scene.check("release with freeze does", scene.rotated("hub-2", twin).generation > twin.generation)

# --- a hub that knows more ops than the registry

agent = scene.agent("hub-1", hub)
scene.command("rotate", device="hub-1")
rotate = agent.expect("rotate")
agent.disconnect()
higher = str(int(time.time() * 1000000) + 3600 * 1000000)
start = scene.log_size()
agent = scene.agent("hub-1", hub, phase="key", op=higher)
scene.event_since("the registry is behind its hub", start, "registry.behind", "device=hub-1", f"op={higher}")
scene.equal("the hub keeps its key for a newer order", agent.welcome["next"], "closed")
scene.equal("the open op is closed, the counter raised", [device_of("hub-1")[n] for n in ("phase", "lastOp")], ["idle", higher])
scene.check("the next op is above it", int(scene.command("rotate", device="hub-1")["op"]) > int(higher))
agent.expect("rotate")
scene.command("cancel", device="hub-1")
agent.disconnect()
start = scene.log_size()
far = Device(scene, "hub-1", hub)
far.open("agent")
far.send("hello", agent="probe", store="file", generation=str(hub.generation), fp=hub.fingerprint, phase="key",
         op=str(int(time.time() * 1000000) + 2 * 86400 * 1000000))
scene.equal("more than a day ahead is nonsense", far.reject_reason(), "op.range")
scene.no_event_since("and no reason to doubt the registry", start, "registry.behind")
far.disconnect()
hub = scene.rotated("hub-1", hub)

# --- two holders of one credential

start = scene.log_size()
both = []
for turn in range(6):
    both.append(scene.client("hub-1", hub.path, source=f"127.0.0.{2 + turn % 2}"))
scene.event_since("who takes over again and again is noticed", start, "session.contended", "device=hub-1", "client=hub-1")
agent = scene.agent("hub-1", hub)
start = scene.log_size()
scene.command("challenge", device="hub-1")
challenge = agent.expect("challenge")
report = dict(agent="probe", store="file", generation=str(hub.generation), phase="stable")
agent.send("answer", nonce=challenge["nonce"], fp=hub.fingerprint, report=report)
scene.event_since("a challenge is answered", start, "challenge.answered", "device=hub-1")
agent.send("answer", nonce=challenge["nonce"], fp=hub.fingerprint, report=report)
scene.equal("once", agent.reject_reason(), "nonce.wrong")
start = scene.log_size()
scene.command("challenge", device="hub-1")
challenge = agent.expect("challenge")
scene.event_since("or it is missed", start, "challenge.missed", "device=hub-1", timeout=6)
agent.send("answer", nonce=challenge["nonce"], fp=hub.fingerprint, report=report)
scene.equal("and an answer after that is late", agent.reject_reason(), "nonce.wrong")
agent.disconnect()

# --- the broker dies in the middle

def dies(pattern, since, and_its_index=False):
    """kill -9, as soon as the log has the line ("": at once); then it starts again."""
    assert scene.logged_since(since, pattern)
    broker.kill()
    os.unlink(scene.socket)
    for path in glob.glob(scene.tmp + "/state/index*") if and_its_index else ():
        os.unlink(path)
    broker.start()


def ask_again(name, key, rotate, before=None):
    """After a restart: the same op goes on; the certificate, the same bytes where it was seen before."""
    agent = scene.agent("hub-1", hub, phase="key", op=rotate["op"])
    step = agent.welcome["next"]
    scene.check(f"{name}: the same op goes on", step in ("rotate", "cert") and agent.welcome["op"] == rotate["op"], agent.welcome)
    if step == "rotate":
        again = agent.expect("rotate")
        scene.equal(f"{name}: with the same nonce", again["nonce"], rotate["nonce"])
        scene.answer_rotate(agent, rotate, key)
    chain = agent.expect("cert")["chain"]
    if before is not None:
        scene.equal(f"{name}: the certificate is the same", chain, before)
    agent.disconnect()
    return dict(chain=chain, nonce=rotate["nonce"], op=rotate["op"])


def begun():
    agent = scene.agent("hub-1", hub)
    scene.command("rotate", device="hub-1")
    rotate = agent.expect("rotate")
    key = new_key()
    return agent, rotate, key


for when, pattern in (("with the csr in hand", ""), ("with the certificate just made", r"event=rotation\.issued")):
    agent, rotate, key = begun()
    since = scene.log_size()
    scene.answer_rotate(agent, rotate, key)
    dies(pattern, since)
    agent.close()
    given = ask_again(f"the broker dies {when}", key, rotate)
    hub = scene.confirm("hub-1", key, given)
    scene.equal(f"the broker dies {when}: it ends in the new credential", device_of("hub-1")["current"]["fp"], hub.fingerprint)

agent, rotate, key = begun()
scene.answer_rotate(agent, rotate, key)
chain = agent.expect("cert")["chain"]
start = scene.log_size()
dies("", start, and_its_index=True)
agent.close()
scene.event_since("a lost index is rebuilt from the ledger", start, "index.rebuilt")
given = ask_again("the broker dies after cert, its index is lost", key, rotate, chain)
hub = scene.confirm("hub-1", key, given)

for when, pattern in (("with confirm in hand", ""), ("with the commit just made", r"event=rotation\.committed"),
                      ("after committed", None)):
    name = f"the broker dies {when}"
    agent, rotate, key = begun()
    scene.answer_rotate(agent, rotate, key)
    given = dict(agent.expect("cert"), nonce=rotate["nonce"])
    agent.disconnect()
    new = scene.save_identity("hub-1", key, given["chain"])
    trial = Device(scene, "hub-1", new)
    trial.open("trial")
    trial.hello(phase="cert", op=rotate["op"])
    since = scene.log_size()
    trial.send("confirm", op=rotate["op"], nonce=rotate["nonce"], fp=new.fingerprint)
    if pattern is None:
        trial.expect("committed")
    dies(pattern or "", since)
    trial.close()
    trial = Device(scene, "hub-1", new)
    scene.equal(f"{name}: the new credential gets in", trial.open("trial"), 0)
    step = trial.hello(phase="cert", op=rotate["op"])["next"]
    scene.check(f"{name}: the op goes on", step == "committed" if pattern is None else step in ("confirm", "committed"), step)
    scene.check(f"{name}: until the commit the old one gets in, too", step == "committed" or
                scene.connect_code("hub-1", hub.path) == 0)
    if step == "confirm":
        trial.send("confirm", op=rotate["op"], nonce=rotate["nonce"], fp=new.fingerprint)
    scene.equal(f"{name}: committed arrives", trial.expect("committed")["fp"], new.fingerprint)
    trial.disconnect()
    scene.refused(f"{name}: then the old one", "cert.superseded", "hub-1:agent", hub.path)
    hub = new
    scene.promote("hub-1", hub, rotate["op"])

scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
