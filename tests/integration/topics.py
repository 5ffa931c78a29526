"""The story of test_topics.sh."""

import json
import os

import version
from broker import Broker
from device import DEV_TOPIC, Device, b64u
from mqtt5 import Client, Closed
from scene import CONTROL, NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
hub_1, hub_2 = scene.new_hub("hub-1"), scene.new_hub("hub-2")


def cmd(device):
    return f"keyturn/v1/device/{device}/cmd"


def no_write(name, client, topic, payload="x", reason="acl.topic"):
    start = scene.log_size()
    scene.equal(f"{name} may not publish to {topic}", client.publish(topic, payload), NOT_AUTHORIZED)
    scene.event_since(f"{name}, {topic}: in the log", start, "access.denied", f"reason={reason}")


def no_read(name, client, topic_filter):
    start = scene.log_size()
    scene.equal(f"{name} may not subscribe to {topic_filter}", client.subscribe(topic_filter), NOT_AUTHORIZED)
    scene.event_since(f"{name}, {topic_filter}: in the log", start, "access.denied", "reason=acl.topic")


# --- a hub's own programs

app = scene.client("hub-1:app", hub_1.path)
watcher = scene.client("watcher", port="plain")
scene.check("somebody hears all hubs", watcher.subscribe("devices/#") < 0x80)
scene.check("a hub may publish to its own topics", app.publish("devices/hub-1/state", "mine") < 0x80)
scene.equal("and it arrives", watcher.message(), ("devices/hub-1/state", b"mine"))
for topic in ("devices/hub-2/state", "devices", "other/topic", "$CONTROL/dynamic-security/v1", CONTROL, CONTROL + "/response",
              DEV_TOPIC, cmd("hub-1"), cmd("hub-2"), "keyturn/v1/events/device.revoked"):
    no_write("a hub", app, topic)
app.publish("devices/hub-1/state", "fence")
scene.equal("nothing of it was delivered", watcher.message(), ("devices/hub-1/state", b"fence"))

broker.restart()
app = scene.client("hub-1:app", hub_1.path)
scene.check("a hub may subscribe to its own topics", app.subscribe("devices/hub-1/#") < 0x80)
for topic_filter in ("devices/hub-2/#", "devices/#", "devices/+/state", "+/hub-2/#", "#", "+", "$share/g/devices/hub-2/#",
                     "$CONTROL/#", CONTROL + "/response", "$CONTROL/dynamic-security/v1/response", cmd("hub-2"), cmd("hub-1"),
                     "keyturn/#", "keyturn/v1/events/#", "$share/g/keyturn/v1/events/#", "$SYS/broker/keyturn/#"):
    no_read("a hub", app, topic_filter)

# --- a hub's agent

broker.restart()
agent = scene.agent("hub-2", hub_2)
scene.check("an agent may subscribe to its commands", agent.subscribe(cmd("hub-2")) < 0x80)
for topic in ("devices/hub-2/state", cmd("hub-2"), cmd("hub-1"), CONTROL, "$CONTROL/dynamic-security/v1"):
    no_write("an agent", agent, topic)
for topic_filter in ("devices/hub-2/#", cmd("hub-1"), "keyturn/v1/device/+/cmd", "$CONTROL/#", CONTROL + "/response"):
    no_read("an agent", agent, topic_filter)

# --- nobody but the plugin gives commands: each tries, then the plugin says something

agent = scene.agent("hub-2", hub_2)
agent.subscribe(cmd("hub-2"))
visitor = scene.client("visitor", port="plain")
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
admin = scene.client("op:me", port="unix")
other = scene.agent("hub-1", hub_1)
for name, client in (("a visitor", visitor), ("a viewer", viewer), ("an admin", admin), ("another hub's agent", other)):
    no_write(name, client, cmd("hub-2"), '{"forged":1}')
scene.command("challenge", device="hub-2")
scene.equal("of all that the hub hears the plugin alone", agent.message()[0], cmd("hub-2"))
scene.equal("and then nothing more", agent.silence(0.3), True)

# --- operators

broker.restart()
visitor = scene.client("visitor", port="plain")
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
admin = scene.client("op:me", port="unix")
no_write("a visitor", visitor, CONTROL, json.dumps({"commands": [{"command": "status"}]}))
no_write("a visitor", visitor, DEV_TOPIC)
no_read("a visitor", visitor, "keyturn/v1/events/#")
no_read("a visitor", visitor, "$SYS/broker/keyturn/#")
no_write("an admin", admin, "keyturn/v1/events/device.created")
no_write("an admin", admin, DEV_TOPIC)
no_read("an admin", admin, cmd("hub-2"))
scene.check("a viewer hears events", viewer.subscribe("keyturn/v1/events/#") < 0x80)
scene.check("and gauges", viewer.subscribe("$SYS/broker/keyturn/#") < 0x80)
scene.command("createDevice", device="hub-3")
heard = {}
while "keyturn/v1/events/device.created" not in heard or "$SYS/broker/keyturn/devices" not in heard:
    topic, text = viewer.message()
    heard[topic] = text
scene.equal("an event is JSON and says what was", {k: json.loads(heard["keyturn/v1/events/device.created"]).get(k) for k in
                                                   ("event", "device", "actor")},
            {"event": "device.created", "device": "hub-3", "actor": "op:unix"})

# --- claimants

broker.restart()
claim = Device(scene, "")
claim.open_claim(scene.port, scene.tmp + "/claim.pem")
scene.check("a claimant may subscribe to its answers", claim.subscribe("keyturn/v1/claim/cmd") < 0x80)
for topic in ("devices/x", "devices/hub-1/state", CONTROL, cmd("hub-1"), "keyturn/v1/claim/cmd", "$CONTROL/dynamic-security/v1"):
    no_write("a claimant", claim, topic)
for topic_filter in ("devices/#", cmd("hub-1"), "keyturn/v1/events/#", CONTROL + "/response", "#"):
    no_read("a claimant", claim, topic_filter)

# --- trials

pending, _ = scene.issue("hub-1", hub_1)
trial = Device(scene, "hub-1", pending)
trial.open("trial")
scene.check("a trial may subscribe to its commands", trial.subscribe(cmd("hub-1")) < 0x80)
no_write("a trial", trial, "devices/hub-1/state")
no_read("a trial", trial, "devices/hub-1/#")
no_write("a trial", trial, cmd("hub-1"))

# --- wills

broker.restart()
agent = scene.agent("hub-2", hub_2)
agent.subscribe(cmd("hub-2"))
viewer = scene.client("op:vera", scene.tmp + "/vera.pem")
viewer.subscribe(CONTROL + "/response")
watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")


def will(name, client_id, topic, identity=None, port=None, reason="acl.topic"):
    """A client leaves this will; refused at CONNECT (newer brokers) or when it is sent."""
    start = scene.log_size()
    client = Client()
    scene.reach(client, identity, port)
    if version.refuses_will(topic):
        try:
            scene.check(f"{name} is refused at once", False, client.connect(client_id, will=(topic, '{"spoofed":1}')))
        except Closed:
            scene.check(f"{name} is refused at once", True)
        return
    assert client.connect(client_id, will=(topic, '{"spoofed":1}')) == 0, name
    client.close()
    scene.event_since(f"{name} is denied", start, "access.denied", f"reason={reason}")


dead = Client()
dead.tls(scene.port, scene.root, hub_1.path)
dead.connect("hub-1:app", will=("devices/hub-1/state", "offline"))
dead.close()
scene.equal("a hub's will for its own topic is sent", watcher.message(), ("devices/hub-1/state", b"offline"))
will("a visitor's will with a command", "visitor", cmd("hub-2"), port="plain")
will("a hub's will with a command", "hub-1:app", cmd("hub-2"), hub_1.path)
will("a hub's will for another hub's topic", "hub-1:app", "devices/hub-2/state", hub_1.path)
will("a visitor's will with an answer for operators", "visitor", CONTROL + "/response", port="plain")
will("an admin's will with an answer for operators", "op:me", CONTROL + "/response", port="unix")
will("a hub's will with a message for the plugin", "hub-1:app", DEV_TOPIC, hub_1.path)
will("an agent's will with a message for the plugin", "hub-1:agent", DEV_TOPIC, hub_1.path, reason="acl.will")
will("an agent's will", "hub-1:agent", "devices/hub-1/state", hub_1.path, reason="acl.will")
will("a claimant's will", "claim:" + b64u(os.urandom(16)), "devices/x", scene.tmp + "/claim.pem", reason="acl.will")
will("a visitor's will with an event", "visitor", "keyturn/v1/events/device.revoked", port="plain")
scene.command("challenge", device="hub-2")
scene.equal("the hub hears the plugin's own message first", agent.expect("challenge")["type"], "challenge")
scene.equal("the operator hears its own answer first", scene.control(viewer, {"command": "status"})[0]["command"], "status")
scene.client("hub-1:app", hub_1.path).publish("devices/hub-1/state", "fence")
scene.equal("and the others nothing at all", watcher.message(), ("devices/hub-1/state", b"fence"))
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
