"""The story of test_acl_reload.sh."""

import os
import re

from broker import Broker
from mqtt5 import Client, Timeout
from scene import NOT_AUTHORIZED, Scene

scene = Scene()
CONF = scene.tmp + "/keyturn.conf"
FIRST = open(CONF).read()
SITE = re.compile(r"(?m)^(acl|device_acl|other_acl) = .*\n")
OWN = "acl = readwrite devices/%d/#"
OPEN = "other_acl = allow"
broker = Broker(scene).start()
hub = scene.new_hub("hub-1")


def conf(*site, rest=""):
    """keyturn.conf with these lines about topics, and no others."""
    with open(CONF, "w") as out:
        out.write(SITE.sub("", FIRST) + rest + "".join(line + "\n" for line in site))


def hang_up(event, *words):
    """SIGHUP, until the plugin has said this of it; where its lines begin."""
    start = scene.log_size()
    broker.hup()
    scene.event_since(f"{event} {' '.join(words)}", start, event, *words)
    return start


def reload(*site, rest=""):
    conf(*site, rest=rest)
    return hang_up("config.reloaded", "changed=yes", f"acl_lines={sum(line.startswith('acl =') for line in site)}")


def heard(client, fence):
    """All that @client hears up to the fence, which it may hear; as payloads."""
    mark = os.urandom(4).hex()
    visitor.publish(fence, mark)
    got = []
    while True:
        got.append(client.message()[1].decode())
        if got[-1] == mark:
            return got[:-1]


app = scene.client("hub-1:app", hub.path)
visitor = scene.client("visitor", port="plain")
watcher = scene.client("watcher", port="plain")
watcher.subscribe("devices/#")
watcher.subscribe("fence")
for topic_filter in ("devices/hub-1/#", "news/#"):
    scene.check(f"a hub may subscribe to {topic_filter}", app.subscribe(topic_filter) < 0x80)
away = scene.client("hub-1:away", hub.path, clean=False, expiry=3600)
away.subscribe("news/#")
away.subscribe("devices/hub-1/#")
away.close()
visitor.publish("news/1", "one")
scene.equal("and hears what it subscribed to", heard(app, "devices/hub-1/fence"), ["one"])
heard(watcher, "fence")

# --- nothing is new

start = hang_up("config.reloaded", "changed=no", "acl_lines=2", "device_acl=deny", "other_acl=allow")
scene.no_event_since("an unchanged file is no news", start, "config.warned")
scene.no_event_since("and no error", start, "config.refused")

# --- a right is taken away

start = reload(OWN, OPEN)
visitor.publish("news/2", "two")
scene.equal("a live subscription to it goes quiet", heard(app, "devices/hub-1/fence"), [])
scene.equal("a new one is refused", app.subscribe("news/x"), NOT_AUTHORIZED)
scene.check("the others are as they were", app.publish("devices/hub-1/state", "mine") < 0x80)
scene.equal("for others, too", heard(watcher, "fence")[-1:], ["mine"])
scene.no_event_since("nobody is disconnected", start, "session.ended")
back = Client()
scene.reach(back, hub.path)
back.connect("hub-1:away", clean=False, expiry=3600)
scene.equal("who was away gets nothing of it, also of what was waiting", [m for m in heard(back, "devices/hub-1/fence")
                                                                         if m in ("one", "two")], [])
back.disconnect()
heard(app, "devices/hub-1/fence")

reload("acl = read devices/%d/#", OPEN)
heard(watcher, "fence")
scene.equal("writing alone, too", app.publish("devices/hub-1/state", "x"), NOT_AUTHORIZED)
scene.equal("nothing of that is delivered", heard(watcher, "fence"), [])
scene.equal("reading goes on", heard(app, "devices/hub-1/fence"), [])
dead = scene.client("hub-1:dead", hub.path, will=("devices/hub-1/state", "gone"))
start = scene.log_size()
dead.close()
scene.event_since("its will is denied", start, "access.denied", "client=hub-1:dead", "topic=devices/hub-1/state")
heard(watcher, "fence")

reload("acl = deny devices/%d/secret/#", OWN, OPEN)
visitor.publish("devices/hub-1/secret/x", "secret")
scene.equal("a denied part of what is subscribed is not heard", heard(app, "devices/hub-1/fence"), [])

# --- and given back

reload(OWN, "acl = read news/#", OPEN)
visitor.publish("news/3", "three")
visitor.publish("devices/hub-1/secret/x", "no secret")
scene.equal("given back, it is heard without a new subscription", heard(app, "devices/hub-1/fence"), ["three", "no secret"])
scene.check("and may be written", app.publish("devices/hub-1/state", "again") < 0x80)
scene.check("what is new is there at once", scene.client("hub-1:new", hub.path).subscribe("news/#") < 0x80)

# --- the two defaults

scene.equal("what no line names is denied", app.subscribe("else/#"), NOT_AUTHORIZED)
reload(OWN, "device_acl = defer", "other_acl = defer")
scene.event_since("with nobody to ask behind us that is said", start, "config.warned", timeout=5)
scene.equal("nobody behind us answers: others are denied", visitor.publish("devices/hub-1/state", "x"), NOT_AUTHORIZED)
scene.equal("and hear nothing: a hub's message", (app.publish("devices/hub-1/state", "unheard") < 0x80, watcher.subscribe("x")),
            (True, NOT_AUTHORIZED))
conf(OWN, "acl = read news/#", OPEN)
hang_up("config.reloaded", "changed=yes", "device_acl=deny", "other_acl=allow")
scene.equal("the watcher had not heard that", [m for m in heard(watcher, "fence") if m == "unheard"], [])
heard(app, "devices/hub-1/fence")

# --- a file with an error changes nothing: each of these would take all rights away


def stays(what, *words):
    """SIGHUP is refused with these words, and all rights are what they were."""
    start = scene.log_size()
    broker.hup()
    refused = scene.logged_since(start, r"(?m)event=config\.refused .*$")
    line = re.search(r"(?m)event=config\.refused .*$", scene.log_from(start))
    scene.check(f"{what}: refused with words to act on", refused and all(w in line.group(0) for w in words),
                line and line.group(0))
    scene.no_event_since(f"{what}: nothing is taken over", start, "config.reloaded")
    visitor.publish("news/4", what)
    scene.equal(f"{what}: the hub reads as before", heard(app, "devices/hub-1/fence"), [what])
    scene.check(f"{what}: and writes", app.publish("devices/hub-1/state", what) < 0x80)
    app.messages.clear()
    scene.equal(f"{what}: and no more than before", (app.publish("news/x", "x"), app.subscribe("else/#")),
                (NOT_AUTHORIZED, NOT_AUTHORIZED))


os.rename(CONF, CONF + ".away")
stays("a missing file", "keyturn.conf: cannot be opened: No such file")
os.rename(CONF + ".away", CONF)
conf()
os.chmod(CONF, 0o622)
stays("a file that others can write", "keyturn.conf: can be written by others (chmod go-w it)")
os.chmod(CONF, 0o600)
lines = len(SITE.sub("", FIRST).splitlines())
for what, line, sentence in (
        ("a line without a sign", "acl read news/#", "no = in this line (name = value)"),
        ("an option that there is not", "acl_file = /x", "there is no option 'acl_file' (see keyturn-plugin(5))"),
        ("a pattern of Keyturn's topics", "acl = read keyturn/#", "may not match keyturn/ or $ topics (begin it"),
        ("a pattern of all topics", "acl = readwrite #", "may not match keyturn/ or $ topics (begin it"),
        ("a pattern of the broker's topics", "acl = read $SYS/#", "may not match keyturn/ or $ topics (begin it"),
        ("a placeholder that there is not", "acl = read devices/%c/#", "nothing but %d (device id) and %g (group)"),
        ("a pattern without end", "acl = read " + "a" * 256, "no topic pattern of 1 to 255 characters"),
        ("no filter", "acl = read a/#/b", "this is no MQTT topic filter"),
        ("a default that there is not", "device_acl = allow", "device_acl cannot be that"),
        ("a value out of range", "workers = 99", "workers is out of range (1 to 16)")):
    conf("acl = deny #", line)
    stays(what, f"keyturn.conf:{lines + 2}: ", sentence)
conf()
os.truncate(CONF, 0)
stays("an empty file", "keyturn.conf: trust_domain is missing")

# --- what needs a restart is named, in one line, and the topics hold all the same

start = reload("acl = readwrite devices/%d/#", OPEN, rest="workers = 3\nhello_timeout = 7s\noperator = user:bob viewer\n")
scene.event_since("what waits for a restart is named", start, "config.warned", 'options="operator,workers,hello_timeout"')
scene.equal("in one line", len(re.findall(r"event=config\.warned", scene.log_from(start))), 1)
visitor.publish("news/5", "five")
scene.equal("the topics do not wait", heard(app, "devices/hub-1/fence"), [])
scene.no_event_since("nothing of it is refused", start, "config.refused")

# --- again and again, in the middle of everything

sets = (("acl = readwrite a/%d", OWN, OPEN), ("acl = readwrite b/%d", OWN, OPEN))
for turn in range(40):
    conf(*sets[turn % 2])
    start = scene.log_size()
    broker.hup()
    mixed = []
    while "event=config.reloaded" not in scene.log_from(start):
        codes = tuple(code < 0x80 for code in (app.publish("a/hub-1", "x"), app.publish("b/hub-1", "x")))
        mixed.append(codes)
    now = tuple(app.publish(topic, "x") < 0x80 for topic in ("a/hub-1", "b/hub-1"))
    turned = [codes for codes in mixed if codes[0] == codes[1]]  # the change came between the two
    if now != (turn % 2 == 0, turn % 2 == 1) or len(turned) > 1:
        scene.check(f"turn {turn}: one of the two sets at every moment", False, (now, mixed))
        break
else:
    scene.check("forty times: one of the two sets at every moment", True)
scene.equal("the hub is in session still", app.is_closed_within(0.1), False)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
