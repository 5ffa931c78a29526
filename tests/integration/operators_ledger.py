"""The second story of test_operators.sh: operators who are made and ended by command."""

import os

from broker import Broker
from mqtt5 import Client, Timeout
from scene import CONTROL, Scene

scene = Scene()
broker = Broker(scene).start()
ROLES = {"vic": "viewer", "rita": "rotator", "emil": "enroller", "rex": "revoker", "ada": "admin"}


def pem(name):
    return f"{scene.tmp}/{name}.pem"


def fp(name):
    with open(f"{scene.tmp}/{name}.fp", encoding="ascii") as file:
        return file.read().strip()


def enter(name, client_id=None, cert=None):
    """A session of this operator that hears its answers."""
    client = scene.client(client_id or "op:" + name, pem(cert or name))
    assert client.subscribe(CONTROL + "/response") < 0x80
    return client


def told(who, **command):
    responses = scene.control(who, command)
    assert len(responses) == 1, responses
    return responses[0]


def error(who, **command):
    return told(who, **command).get("error")


def added(name, role, cert=None, by=None):
    answer = told(by or alice, command="addOperator", name=name, fp=fp(cert or name), role=role)
    scene.equal(f"{name} is made {role}", (answer.get("error"), answer.get("data")), (None, {}))


def removed(name, by=None):
    answer = told(by or alice, command="removeOperator", name=name)
    scene.equal(f"{name} is removed", (answer.get("error"), answer.get("data")), (None, {}))


def out(name, reason, cert=None):
    scene.refused(f"{name} with {cert or name}.pem", reason, "op:" + name, pem(cert or name))


def fields_of(command, role):
    """Nothing that hurts: whoever may is refused for another reason, or it is done."""
    nobody = dict(device="nobody")
    return {"createDevice": dict(device="of-" + role), "importCertificate": dict(device="nobody", certificate="none"), "createTicket": nobody, "getDevice": nobody, "rotate": nobody, "cancel": nobody,
            "approve": dict(keyId=os.urandom(32).hex(), device="of-" + role), "deny": dict(keyId=os.urandom(32).hex()),
            "challenge": nobody, "quarantine": nobody, "release": nobody, "revoke": nobody, "deleteDevice": nobody,
            "addOperator": dict(name="unix", fp="ab" * 32, role="admin"), "removeOperator": dict(name="nobody")}.get(command, {})


# --- every role against every command, each with its certificate

alice = enter("alice")
for name, role in ROLES.items():
    out(name, "cert.unknown")
    added(name, role)
    out(name, "cert.unknown", "carol")  # the name alone is not enough
LOOK = {"listDevices", "getDevice", "listPending", "status", "listOperators"}
MAY = {"viewer": LOOK, "rotator": LOOK | {"rotate", "cancel", "challenge"},
       "enroller": LOOK | {"createDevice", "createTicket", "approve", "deny", "importCertificate"}, "revoker": LOOK | {"revoke", "quarantine"}}
EVERY = set().union(*MAY.values()) | {"release", "deleteDevice", "confirmClock", "endReconcile", "addOperator", "removeOperator"}
MAY["admin"] = EVERY
hub = scene.new_hub("hub-1")
agent = scene.agent("hub-1", hub)
for name, role in ROLES.items():
    client = enter(name)
    for command in sorted(EVERY):
        before = scene.command("status")["seq"]
        answer = told(client, command=command, **fields_of(command, role))
        may = command in MAY[role]
        scene.check(f"{role}: {command} is {'his' if may else 'denied'}", (answer.get("error") == "denied") != may, answer)
        if not may:
            scene.equal(f"{role}: {command} leaves no record", scene.command("status")["seq"], before)
    client.disconnect()
rita, rex, emil = enter("rita"), enter("rex"), enter("emil")
scene.equal("who may revoke may not order a rotation of a hub that is there", error(rex, command="rotate", device="hub-1"), "denied")
scene.equal("nor end a quarantine that he has begun", [error(rex, command=c, device="hub-1") for c in ("quarantine", "release")],
            [None, "denied"])
scene.equal("who may rotate does", error(rita, command="rotate", device="hub-1"), None)
scene.equal("and the hub hears of it", agent.expect("rotate")["device"], "hub-1")
scene.equal("but may not revoke", error(rita, command="revoke", device="hub-1"), "denied")
scene.equal("who may enrol gets a ticket", "ticket" in told(emil, command="createTicket", device="hub-1").get("data", {}), True)
scene.command("release", device="hub-1")
for client in (rita, rex, emil):
    client.disconnect()

# --- who they are

listed = {o["name"]: o for o in told(alice, command="listOperators")["data"]["operators"]}
scene.equal("each is listed with his source", {n: (o["role"], o["source"]) for n, o in listed.items() if n in ROLES},
            {n: (r, "ledger") for n, r in ROLES.items()})
scene.equal("his fingerprint, and who made him", (listed["ada"]["fp"], listed["ada"]["by"]), (fp("ada"), "op:alice"))
scene.equal("those of the configuration, too", (listed["alice"]["source"], listed[scene.socket]["kind"]), ("config", "socket"))
page = told(alice, command="listOperators", offset=1, count=2)["data"]
scene.equal("in pages", (len(page["operators"]), page["offset"], page["total"]), (2, 1, len(listed)))
for name, taken in (("ada", "by the ledger"), ("Ada", "but for its case"), ("alice", "by the configuration"), ("bob", "by a user"),
                    ("unix", "by the socket")):
    scene.equal(f"{name} is taken {taken}", error(alice, command="addOperator", name=name, fp="cd" * 32, role="viewer"), "exists")
for name in ("alice", "bob", "vera"):
    answer = told(alice, command="removeOperator", name=name)
    scene.check(f"{name} is not removed by command", answer.get("error") == "state" and "keyturn.conf" in answer["detail"], answer)
scene.equal("nor is nobody", error(alice, command="removeOperator", name="nobody"), "not.found")

# --- a removal ends what is there

added("carol", "admin")
carol, second = enter("carol"), enter("carol", "op:second")
for client in (carol, second):
    assert client.subscribe("keyturn/v1/events/#") < 0x80
added("dora", "viewer")
dora = enter("dora")
start = scene.log_size()
removed("carol")
scene.check("her live sessions end", carol.is_closed_within(5) and second.is_closed_within(5))
scene.event_since("which is logged", start, "session.ended", "client=op:carol", "reason=cert.revoked")
scene.event_since("with who ordered it", start, "operator.removed", "operator=carol", "actor=op:alice")
scene.equal("others stay", error(dora, command="status"), None)
out("carol", "cert.revoked")
broker.hup()
out("carol", "cert.revoked")
scene.equal("nobody is thrown out by SIGHUP", error(dora, command="status"), None)

# --- another role, another certificate

answers = scene.control(alice, {"command": "removeOperator", "name": "dora"},
                        {"command": "addOperator", "name": "dora", "fp": fp("dora"), "role": "rotator"})
scene.equal("a role is changed in one batch", [a.get("error") for a in answers], [None, None])
scene.check("the session with the former one ends", dora.is_closed_within(5))
dora = enter("dora")
scene.equal("the next has the new one", error(dora, command="rotate", device="nobody"), "not.found")
dora.disconnect()
added("carol", "revoker", "carol-2")
out("carol", "cert.unknown")
carol = enter("carol", cert="carol-2")
scene.equal("the new certificate of a name has its role", [error(carol, command=c, device="nobody") for c in ("revoke", "rotate")],
            ["not.found", "denied"])

# --- what is acknowledged outlives everything

broker.kill()
scene.check("a kill ends the session", carol.is_closed_within(5))
broker.start()
carol, alice = enter("carol", cert="carol-2"), enter("alice")
scene.equal("after a kill she is what she was", error(carol, command="revoke", device="nobody"), "not.found")
removed("carol")
broker.kill()
broker.start()
out("carol", "cert.revoked", "carol-2")
out("carol", "cert.unknown")
alice = enter("alice")
gone = {o["name"]: o for o in told(alice, command="listOperators", removed=True)["data"]["operators"]}
scene.equal("who was removed is remembered", (sorted(gone), gone["carol"]["by"], gone["carol"]["fp"]),
            (["carol"], "op:alice", fp("carol-2")))
broker.stop()
for suffix in ("", "-wal", "-shm"):
    if os.path.exists(f"{scene.tmp}/state/index.sqlite{suffix}"):
        os.unlink(f"{scene.tmp}/state/index.sqlite{suffix}")
broker.start()
out("carol", "cert.revoked", "carol-2")
ada = enter("ada")
scene.equal("without its index the ledger decides", error(ada, command="confirmClock"), None)

# --- the last admin

with open(scene.tmp + "/keyturn.conf", encoding="ascii") as file:
    configuration = file.read()
lines = [line for line in configuration.splitlines() if "operator/alice" not in line and "user:bob" not in line]
with open(scene.tmp + "/keyturn.conf", "w", encoding="ascii") as file:
    file.write("\n".join(lines).replace("op.sock admin", "op.sock viewer") + "\n")
broker.restart()
ada = enter("ada")
scene.equal("the last admin stays", error(ada, command="removeOperator", name="ada"), "admin.last")
scene.equal("the socket is open, with the role that it has", [scene.error_of("status"), scene.error_of("confirmClock")], [None, "denied"])
added("carol", "admin", "carol-2", ada)
carol = enter("carol", cert="carol-2")
start = scene.log_size()
answers = scene.control(ada, {"command": "removeOperator", "name": "ada"}, {"command": "confirmClock"})
scene.equal("with another one she may remove herself, and is told; then she may nothing",
            [a.get("error") for a in answers], [None, "denied"])
scene.check("and is disconnected", ada.is_closed_within(5))
scene.event_since("at once", start, "session.ended", "client=op:ada", "reason=cert.revoked")
out("ada", "cert.revoked")
scene.equal("the other one is the last now", error(carol, command="removeOperator", name="carol"), "admin.last")
with open(scene.tmp + "/keyturn.conf", "w", encoding="ascii") as file:
    file.write(configuration)
broker.restart()
alice = enter("alice")
removed("carol")
out("carol", "cert.revoked", "carol-2")

# --- who is none hears nothing any more, whatever he held

added("carol", "viewer")
carol = Client()
scene.reach(carol, pem("carol"))
assert carol.connect("op:carol", clean=False) == 0
assert carol.subscribe("keyturn/v1/events/#") < 0x80
removed("carol")
scene.check("a session that outlives its connection ends, too", carol.is_closed_within(5))
scene.command("createDevice", device="hub-after")
added("carol", "viewer", "carol-2")
carol = Client()
scene.reach(carol, pem("carol-2"))
assert carol.connect("op:carol", clean=False) == 0
try:
    topic, text = carol.message(0.5)
    scene.check("what happened meanwhile is not kept for her", "hub-after" not in str(text), text)
except Timeout:
    scene.check("what happened meanwhile is not kept for her", True)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
