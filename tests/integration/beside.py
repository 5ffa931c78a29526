"""The story of test_beside.sh. argv[1]: files or dynsec, what stands behind our plugin."""

import json
import sys

from broker import Broker
from device import DEV_TOPIC
from mqtt5 import Timeout
from scene import CONTROL, NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()
by = {"files": "password and acl file", "dynsec": "dynamic-security"}[sys.argv[1]]
hub = scene.new_hub("hub-1")
cmd = "keyturn/v1/device/hub-1/cmd"


def user(name, client_id, password="right"):
    return dict(client_id=client_id, port="plain", username=name, password=password)


def hears(client, topic, payload):
    try:
        return client.message(2) == (topic, payload.encode())
    except Timeout:
        return False


# --- as it was before

site = scene.client(**user("site", "site-1"))
scene.check(f"{by}: a user subscribes where he may", site.subscribe("site/#") < 0x80)
scene.check(f"{by}: and publishes", site.publish("site/x", "1") < 0x80 and hears(site, "site/x", "1"))
site.publish("elsewhere/x", "2")
site.publish("site/x", "3")
scene.check(f"{by}: and nowhere else", hears(site, "site/x", "3"))
scene.equal(f"{by}: with a wrong password he is refused", scene.connect_code(**user("site", "site-2", "wrong")), NOT_AUTHORIZED)
scene.equal(f"{by}: and without one", scene.connect_code("site-2", port="plain"), NOT_AUTHORIZED)
root = scene.client(**user("root", "root-1"))
scene.check(f"{by}: who may everything goes on", root.publish("site/x", "4") < 0x80 and hears(site, "site/x", "4"))
if sys.argv[1] == "dynsec":
    root.subscribe("$CONTROL/dynamic-security/v1/#")
    root.publish("$CONTROL/dynamic-security/v1", json.dumps({"commands": [{"command": "listClients"}]}))
    scene.check(f"{by}: its own commands are served", "site" in json.loads(root.message()[1])["responses"][0]["data"]["clients"])

# --- hubs beside them

app = scene.client("hub-1:app", hub.path)
scene.check(f"{by}: a hub has its own topics", app.subscribe("devices/hub-1/#") < 0x80)
scene.check(f"{by}: and publishes there", app.publish("devices/hub-1/x", "1") < 0x80 and hears(app, "devices/hub-1/x", "1"))
scene.equal(f"{by}: but not where users may", app.publish("site/x", "5"), NOT_AUTHORIZED)
scene.equal(f"{by}: nor at other plugins", app.publish("$CONTROL/dynamic-security/v1", '{"commands":[]}'), NOT_AUTHORIZED)
scene.check(f"{by}: a hub rotates", scene.rotated("hub-1", hub).generation == 2)

# --- what is a device's is nobody else's

broker.restart()
hub_2 = scene.new_hub("hub-2")
for client_id in ("hub-1", "hub-1:agent", "hub-1:app", "hub-2:trial", "op:vera"):
    for name in ("site", "root"):
        scene.refused(f"{by}: {name} with the right password as {client_id}", "clientid", **user(name, client_id))
for name in ("hub-1", "claim"):
    scene.refused(f"{by}: {name} with the right password as a user", "username", **user(name, "site-3"))
if sys.argv[1] == "dynsec":
    scene.refused(f"{by}: op:vera with the right password as a user", "username", **user("op:vera", "site-3"))
    scene.let_in(f"{by}: hub-1:agent, which is no device's id, is nobody in particular", **user("hub-1:agent", "site-3"))
scene.refused(f"{by}: hub-1 with the right password as itself", "clientid", **user("hub-1", "hub-1"))
scene.refused(f"{by}: a password does not make a revoked hub", "clientid", **user("site", "hub-1:agent"))

# --- our topics stay closed, whatever right somebody has

broker.restart()
root = scene.client(**user("root", "root-1"))
agent = scene.agent("hub-2", hub_2)
for topic in (CONTROL, CONTROL + "/response", DEV_TOPIC, cmd, "keyturn/v1/events/device.created", "keyturn/x"):
    scene.equal(f"{by}: root may not publish to {topic}",
                root.publish(topic, '{"commands":[{"command":"revoke","device":"hub-2"}]}'), NOT_AUTHORIZED)
for topic in (CONTROL + "/response", "$CONTROL/#", cmd, "keyturn/#", "keyturn/v1/events/#", "#", "$share/g/keyturn/#",
              "$SYS/broker/keyturn/#"):
    scene.equal(f"{by}: root may not subscribe to {topic}", root.subscribe(topic), NOT_AUTHORIZED)
scene.equal(f"{by}: so nothing happened", (scene.command("getDevice", device="hub-2")["state"], agent.silence(0.2)), ("active", True))
scene.command("createDevice", device="hub-3")
root.subscribe("site/#")
root.publish("site/x", "fence")
scene.check(f"{by}: and root heard nothing", hears(root, "site/x", "fence"))

# --- SIGHUP makes both be asked again

start = scene.log_size()
broker.hup()
scene.check(f"{by}: SIGHUP", scene.logged_since(start, r"event=plugin\.reloaded"))
scene.command("challenge", device="hub-2")
scene.equal(f"{by}: leaves the hub", agent.expect("challenge")["type"], "challenge")
root.publish("site/x", "still")
scene.check(f"{by}: and the user", hears(root, "site/x", "still"))
scene.equal(f"{by}: the broker ends with success", broker.stop(), 0)
scene.finish()
