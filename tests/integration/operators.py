"""The story of test_operators.sh."""

import json
import os

from broker import Broker
from device import Device, key_id, new_key
from mqtt5 import Timeout
from scene import CONTROL, NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
admin = scene.client("op:alice", scene.tmp + "/alice.pem")
for client in (viewer, admin):
    assert client.subscribe(CONTROL + "/response") < 0x80


def told(who, **command):
    """The one response to one command."""
    responses = scene.control(who, command)
    assert len(responses) == 1, responses
    return responses[0]


def refused(name, error, who, /, **command):
    answer = told(who, **command)
    scene.equal(name, (answer.get("error"), "data" in answer), (error, False))
    scene.check(f"{name}: in a sentence, too", len(answer.get("detail", "")) > 5, answer)
    return answer


def waiting():
    """A key that waits for approval."""
    key = new_key()
    claim = Device(scene, "")
    claim.open_claim(scene.port, scene.tmp + "/claim.pem")
    claim.enroll(key)
    claim.expect("pending")
    claim.disconnect()
    return key_id(key)


# --- every command is answered

hub = scene.new_hub("hub-1")
agent = scene.agent("hub-1", hub)
answered = set()


def done(command, *data, **fields):
    """It is carried out, with these members in its data, and the requester's own words come back."""
    words = os.urandom(4).hex()
    answer = told(admin, command=command, correlationData=words, **fields)
    answered.add(command)
    scene.equal(f"{command} is done and answered", (answer.get("command"), answer.get("correlationData"), answer.get("error"),
                                                    sorted(set(data) - set(answer.get("data", {})))), (command, words, None, []))
    return answer.get("data", {})


start = scene.log_size()
done("status", "version", "trustDomain", "counts", "refusals", "seq", "durableSeq", "ledgerOk", "clockJumped", "reconciling")
done("createDevice", "device", device="hub-2", group="line-2")
scene.event_since("who did it stands in the log", start, "command.done", "command=createDevice", "actor=op:alice", "device=hub-2")
scene.no_event_since("who looked does not", start, "command.done", "command=status")
ticket = done("createTicket", "ticket", "expires", device="hub-2")["ticket"]
listed = done("listDevices", "devices", "total")
scene.equal("the list has both", sorted((d["device"], d["state"], d["online"]) for d in listed["devices"]),
            [("hub-1", "active", True), ("hub-2", "new", False)])
page = done("listDevices", "devices", "offset", "total", offset=1, count=1)
scene.equal("in pages", (len(page["devices"]), page["offset"], page["total"]), (1, 1, 2))
scene.equal("and by state", [d["device"] for d in done("listDevices", state="new")["devices"]], ["hub-2"])
shown = done("getDevice", "current", "sessions", "phase", device="hub-1")
scene.equal("a device is shown with its sessions", [(s["clientId"], s["kind"]) for s in shown["sessions"]], [("hub-1:agent", "agent")])
key = waiting()
scene.equal("who waits is listed", [p["keyId"] for p in done("listPending", "pending", "total")["pending"]], [key])
done("approve", "device", keyId=key, device="hub-3")
done("deny", keyId=waiting())
op = done("rotate", "device", "op", device="hub-1", note="monthly")["op"]
scene.equal("the hub hears of its rotation", agent.expect("rotate")["op"], op)
done("cancel", device="hub-1")
scene.equal("and of its cancel", agent.reject_reason(), "op.closed")
done("challenge", device="hub-1")
agent.expect("challenge")
done("quarantine", device="hub-1", note="odd")
done("release", device="hub-1")
done("confirmClock")
refused("nothing is reconciled", "state", admin, command="endReconcile", note="done")  # with a restore: test_restore.sh
answered.add("endReconcile")
done("addOperator", name="ann", fp="ab" * 32, role="revoker", note="nights")
listed = done("listOperators", "operators", "total")
scene.equal("who may command is listed, and by what", [(o["name"], o["role"], o["source"], o["kind"]) for o in listed["operators"]],
            [(scene.socket, "admin", "config", "socket"), ("vera", "viewer", "config", "certificate"),
             ("alice", "admin", "config", "certificate"), ("bob", "admin", "config", "user"),
             ("ann", "revoker", "ledger", "certificate")])
done("removeOperator", name="ann")
done("revoke", device="hub-1", emergency=True)
done("deleteDevice", device="hub-2")
every = {"createDevice", "createTicket", "listDevices", "getDevice", "listPending", "approve", "deny", "rotate", "cancel", "challenge",
         "quarantine", "release", "confirmClock", "endReconcile", "revoke", "deleteDevice", "status",
         "addOperator", "removeOperator", "listOperators"}
scene.equal("these are all the commands that there are", answered, every)
scene.check("a ticket is in the answer alone", ticket not in scene.log_from(0) and ticket.split(".")[1][:40] not in scene.log_from(0))

# --- a viewer looks and changes nothing

broker.restart()
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
admin = scene.client("op:alice", scene.tmp + "/alice.pem")
for client in (viewer, admin):
    client.subscribe(CONTROL + "/response")
hub = scene.new_hub("hub-4")
agent = scene.agent("hub-4", hub)
before = told(viewer, command="status")["data"]["seq"]
for command, fields in (("status", {}), ("listDevices", {}), ("getDevice", dict(device="hub-4")), ("listPending", {}),
                        ("listOperators", {})):
    scene.check(f"a viewer may {command}", "error" not in told(viewer, command=command, **fields))
changing = (("createDevice", dict(device="hub-9")), ("createTicket", dict(device="hub-4")), ("approve", dict(keyId=key, device="hub-9")),
            ("deny", dict(keyId=key)), ("rotate", dict(device="hub-4")), ("rotate", dict(all=True, expect=1)),
            ("cancel", dict(device="hub-4")), ("challenge", dict(device="hub-4")), ("quarantine", dict(device="hub-4")),
            ("release", dict(device="hub-4")), ("release", dict(device="hub-4", freeze=True)), ("confirmClock", {}),
            ("endReconcile", {}), ("revoke", dict(device="hub-4", emergency=True)), ("deleteDevice", dict(device="hub-4")),
            ("addOperator", dict(name="vera", fp="ab" * 32, role="admin")), ("removeOperator", dict(name="alice")))
scene.equal("every other command is tried", {c for c, _ in changing} | {"status", "listDevices", "getDevice", "listPending", "listOperators"},
            every)
start = scene.log_size()
for command, fields in changing:
    refused(f"a viewer may not {command}{' ' + next(iter(fields)) if fields else ''}", "denied", viewer, command=command, **fields)
    if command == "createDevice":
        scene.event_since("which is logged with his name", start, "command.refused", "command=createDevice", "actor=op:vera",
                          "reason=denied")
scene.equal("nothing of it is on record", told(viewer, command="status")["data"]["seq"], before)
scene.equal("and the hub hears nothing", agent.silence(0.2), True)
batch = scene.control(viewer, {"command": "getDevice", "device": "hub-4"}, {"command": "revoke", "device": "hub-4"},
                      {"command": "status"})
scene.equal("in a batch, too", [r.get("error") for r in batch], [None, "denied", None])
scene.equal("the hub is as it was", told(viewer, command="getDevice", device="hub-4")["data"]["state"], "active")

# --- operators by password, and who is none

bob = scene.client("bob-1", port="plain", username="bob", password="right")
bob.subscribe(CONTROL + "/response")
scene.equal("a user who is in the configuration may", told(bob, command="status").get("error"), None)
scene.equal("with a wrong password he is nobody", scene.connect_code("bob-1", port="plain", username="bob", password="wrong"),
            NOT_AUTHORIZED)
nobody = scene.client("nobody-1", port="plain", username="nobody", password="right")
scene.equal("another user may not command", nobody.publish(CONTROL, '{"commands":[{"command":"status"}]}'), NOT_AUTHORIZED)
scene.equal("nor hear answers", nobody.subscribe(CONTROL + "/response"), NOT_AUTHORIZED)
scene.refused("a client who calls himself an operator", "clientid", "op:bob", port="plain", username="bob", password="right")

# --- an answer is for who asked

try:
    told(admin, command="status")
    scene.check("nobody else hears an answer", False, viewer.message(0.3))
except Timeout:
    scene.check("nobody else hears an answer", True)

# --- batches

batch = scene.control(admin, {"command": "createDevice", "device": "hub-5", "correlationData": "a"},
                      {"command": "createDevice", "device": "no/id", "correlationData": "b"},
                      {"command": "obey", "correlationData": "c"},
                      {"command": "createDevice", "device": "hub-6", "colour": "blue", "correlationData": "d"},
                      {"command": "getDevice", "device": "hub-5", "correlationData": "e"}, "status", {"correlationData": "f"})
scene.equal("of a batch each command has its own answer, in their order", [(r.get("correlationData"), r.get("error")) for r in batch],
            [("a", None), ("b", "json.field"), ("c", "command.unknown"), ("d", "json.field"), ("e", None), (None, "json.field"),
             ("f", "json.field")])
scene.equal("what is wrong with one is not done", told(admin, command="getDevice", device="hub-6")["error"], "not.found")
for name, error, raw in (("no JSON", "json.syntax", "status"), ("an empty message", "json.syntax", " "),
                         ("JSON twice", "json.syntax", '{"commands":[]}{}'), ("no commands", "json.field", '{"commands":[]}'),
                         ("another member", "json.field", '{"commands":[{"command":"status"}],"x":1}'),
                         ("a member twice", "json.syntax", '{"commands":[{"command":"status","command":"status"}]}'),
                         ("commands that are no list", "json.field", '{"commands":{"command":"status"}}'),
                         ("101 commands", "msg.size", json.dumps({"commands": [{"command": "status"}] * 101})),
                         ("too deep a nesting", "msg.size", '{"commands":' + "[" * 20 + "]" * 20 + "}")):
    answer = scene.control(admin, raw=raw)
    scene.equal(f"a batch with {name} is answered: {error}", [r.get("error") for r in answer], [error])

# --- fields

broker.restart()
admin = scene.client("op:alice", scene.tmp + "/alice.pem")
admin.subscribe(CONTROL + "/response")
for name, error, command in (
        ("a device that is there", "exists", dict(command="createDevice", device="hub-4")),
        ("one that differs in case alone", "exists", dict(command="createDevice", device="HUB-4")),
        ("a name that is an operator's", "json.field", dict(command="createDevice", device="op")),
        ("a name of 64", "msg.size", dict(command="createDevice", device="x" * 64)),
        ("a key id in upper case", "json.field", dict(command="createDevice", device="hub-7", keyId="A" * 64)),
        ("a short key id", "json.field", dict(command="createDevice", device="hub-7", keyId="a" * 62)),
        ("a ticket for nobody", "json.field", dict(command="createTicket")),
        ("a ticket for two", "json.field", dict(command="createTicket", device="hub-4", group="g", pattern="*")),
        ("a group's ticket without a pattern", "json.field", dict(command="createTicket", group="g")),
        ("a ticket for a century", "json.field", dict(command="createTicket", device="hub-4", validFor=3153600000)),
        ("a ticket for another port", "json.field", dict(command="createTicket", device="hub-4", broker="localhost:0")),
        ("a device that is not there", "not.found", dict(command="revoke", device="hub-99")),
        ("a device of another type", "json.field", dict(command="revoke", device=4)),
        ("no device", "json.field", dict(command="revoke")),
        ("an unknown state", "json.field", dict(command="listDevices", state="lost")),
        ("a page of 201", "json.field", dict(command="listDevices", count=201)),
        ("a page before the first", "json.field", dict(command="listDevices", offset=-1)),
        ("another hub's key", "key.known", dict(command="approve", keyId=key_id(hub.key), device="hub-8")),
        ("a command in another case", "command.unknown", dict(command="Status"))):
    refused(f"{command['command']} with {name}: {error}", error, admin, **command)

# --- many at once only by number

hubs = {name: scene.new_hub(name) for name in ("hub-10", "hub-11")}
agents = {name: scene.agent(name, identity) for name, identity in hubs.items()}
names = ["hub-10", "hub-11"]
before = told(admin, command="status")["data"]["seq"]
for name, error, command in (
        ("all, without expect", "expect", dict(all=True)), ("all, with a wrong one", "expect", dict(all=True, expect=2)),
        ("two, without expect", "expect", dict(devices=names)), ("two, with a wrong one", "expect", dict(devices=names, expect=3)),
        ("one, with a wrong one", "expect", dict(device="hub-10", expect=2)),
        ("one twice", "json.field", dict(devices=["hub-10", "hub-10"], expect=2)),
        ("a stranger among them", "not.found", dict(devices=names + ["hub-99"], expect=3)),
        ("nobody", "json.field", dict(devices=[], expect=0)), ("all but not all", "json.field", dict(all=False, expect=3)),
        ("one and all", "json.field", dict(device="hub-10", all=True, expect=3)), ("no device", "json.field", dict())):
    refused(f"rotate {name}", error, admin, command="rotate", **command)
scene.equal("no rotation is opened by any of these", told(admin, command="status")["data"]["seq"], before)
scene.equal("no hub hears of one", [a.silence(0.1) for a in agents.values()], [True, True])
data = told(admin, command="rotate", all=True, expect=3)["data"]
scene.equal("with the right number all are rotated", (sorted(d["device"] for d in data["devices"]), data["ordered"], data["refused"]),
            (["hub-10", "hub-11", "hub-4"], 3, 0))
scene.equal("each hears its own", {name: a.expect("rotate")["device"] for name, a in agents.items()}, {n: n for n in names})
told(admin, command="quarantine", device="hub-4")
told(admin, command="revoke", device="hub-10", emergency=True)
data = told(admin, command="rotate", devices=["hub-4", "hub-10"], expect=2)["data"]
scene.equal("who cannot be rotated is named", {d["device"]: d.get("error") for d in data["devices"]}, {"hub-4": None, "hub-10": "state"})
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
