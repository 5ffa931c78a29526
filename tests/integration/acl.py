"""The story of test_acl.sh. argv[1]: "closed" (device_acl = deny, other_acl = allow, no acl_file) or "open"
(device_acl = defer, other_acl = defer, an acl_file that allows everything).

The tables are docs/PROTOCOL.md and DESIGN.md put into columns, not what the code says.
"""

import os
import sys

import version
from broker import Broker
from device import Device, b64u, new_key
from mqtt5 import Client, Closed
from scene import CONTROL, NOT_AUTHORIZED, Scene

IS_OPEN = sys.argv[1] == "open"
ROLES = os.environ["ROLES"].split()
RESPONSE, DEV, CLAIM_CMD = CONTROL + "/response", CONTROL + "/dev", "keyturn/v1/claim/cmd"

# --- what is allowed: topic or filter, who may publish, who may subscribe. Whoever is not named may not.

TOPICS = """
$CONTROL/keyturn/v1                   operator              -
$CONTROL/keyturn/v1/response          -                     operator
$CONTROL/keyturn/v1/dev               agent,trial,claimant  -
keyturn/v1/device/{own}/cmd           -                     agent,trial
keyturn/v1/device/{other}/cmd         -                     -
keyturn/v1/claim/cmd                  -                     claimant
keyturn/v1/events/device.created      -                     operator
keyturn/v1/events/x                   -                     operator
$SYS/broker/keyturn/devices           -                     operator
$SYS/broker/keyturn/devices/active    -                     operator
$CONTROL/keyturn                      -                     -
$CONTROL/keyturn/v2                   -                     -
keyturn                               -                     -
keyturn/x                             -                     -
keyturn/v1/device/{own}               -                     -
keyturn/v1/device/{own}/cmd/x         -                     -
"""
FILTERS = """
keyturn/v1/events/#                   operator
keyturn/v1/events/+                   operator
$SYS/broker/keyturn/#                 operator
$SYS/broker/keyturn/+                 operator
#                                     -
+                                     -
+/#                                   -
+/+/+/+/+                             -
keyturn/#                             -
keyturn/+/#                           -
keyturn/v1/#                          -
keyturn/v1/+/#                        -
keyturn/v1/+/device.created           -
keyturn/+/device/+/cmd                -
keyturn/v1/device/+/cmd               -
keyturn/v1/device/#                   -
keyturn/v1/device/{own}/#             -
keyturn/v1/device/{own}/+             -
keyturn/+/device/{own}/cmd            -
+/v1/device/{own}/cmd                 -
keyturn/v1/claim/#                    -
keyturn/v1/claim/+                    -
+/+/claim/cmd                         -
$CONTROL/#                            -
$CONTROL/+/v1                         -
$CONTROL/keyturn/#                    -
$CONTROL/keyturn/v1/#                 -
$CONTROL/keyturn/v1/+                 -
$CONTROL/+/v1/response                -
$SYS/#                                -
$SYS/broker/#                         -
$SYS/+/keyturn/devices                -
$SYS/broker/+/devices                 -
"""
# "site": a user of the broker, an operator beside his commands, somebody without a name.
SITE_TOPICS = """
devices/{own}/x                       program,site          program,site
devices/{other}/x                     {more}site            {more}site
$CONTROL/dynamic-security/v1          {others}              {others}
""".format(own="{own}", other="{other}", more="program," if IS_OPEN else "", others="site" if IS_OPEN else "-")
SITE_FILTERS = """
devices/{own}/#                       program,site
devices/{own}/+                       program,site
$share/g/devices/{own}/x              program,site
devices/#                             {more}site
devices/+/x                           {more}site
$share/g/devices/{other}/x            {more}site
""".format(own="{own}", other="{other}", more="program," if IS_OPEN else "")


def rows(text):
    return [line.split() for line in text.strip().splitlines()]


def may(words, kinds):
    return any(word in kinds for word in words.split(","))


# --- who is there

scene = Scene()
broker = Broker(scene).start()
DEVICES = ("hub-a", "hub-b")
identities = {name: scene.new_hub(name) for name in DEVICES + ("hub-held",)}
pending = {}
for name in DEVICES:
    pending[name], _ = scene.issue(name, identities[name])
scene.command("quarantine", device="hub-held")


class Subject:
    """A kind of client: how it comes in, what the tables call it, of which hub it is."""

    def __init__(self, name, kinds, own="hub-a", client_id=None, **way):
        self.name, self.kinds, self.own, self.way = name, kinds, own, way
        self.other = "hub-b" if own != "hub-b" else "hub-a"
        self.client_id = client_id or name

    def open(self, will=None):
        client = Device(scene, self.own)
        scene.reach(client, self.way.get("identity"), self.way.get("port"))
        code = client.connect(self.client_id, username=self.way.get("username"), password=self.way.get("password"), will=will)
        return client, code

    def fill(self, text):
        return text.format(own=self.own, other=self.other)


subjects = []
for name in DEVICES:
    path = identities[name].path
    subjects += [Subject(name, {"program"}, name, identity=path), Subject(name + ":app", {"program"}, name, identity=path),
                 Subject(name + ":agent", {"agent"}, name, identity=path),
                 Subject(name + ":trial", {"trial"}, name, identity=pending[name].path)]
held = identities["hub-held"].path
subjects += [Subject("hub-held", set(), "hub-held", identity=held), Subject("hub-held:agent", {"agent"}, "hub-held", identity=held),
             Subject("a claimant", {"claimant"}, client_id="claim:" + b64u(os.urandom(16)), identity=scene.tmp + "/claim.pem"),
             Subject("a claimant without a certificate", {"claimant"}, client_id="claim:" + b64u(os.urandom(16)), port="claim")]
subjects += [Subject("op:" + role, {"operator", "site"}, identity=f"{scene.tmp}/{role}.pem") for role in ROLES]
subjects += [Subject("op:socket", {"operator", "site"}, port="unix"),
             Subject("an operator by user name", {"operator", "site"}, client_id="bob-1", port="plain", username="bob", password="right"),
             Subject("a user", {"site"}, client_id="site-1", port="plain", username="site", password="right"),
             Subject("somebody", {"site"}, client_id="somebody", port="plain")]


class Witnesses:
    """Who may hear what Keyturn says: whatever a client got through would reach one of them."""

    def __init__(self, subject):
        self.clients = {"viewer": self.viewer()}
        for name in DEVICES + ("hub-held",):
            if subject.client_id != name + ":agent":
                self.clients[name] = scene.agent(name, identities[name])
                self.clients[name].subscribe(f"keyturn/v1/device/{name}/cmd")
        claim = Device(scene, "")
        claim.source = scene.source()
        claim.open_claim(scene.claim_port)
        claim.subscribe(CLAIM_CMD)
        self.clients["claimant"] = claim
        site = scene.client("site-witness", port="plain")
        site.subscribe("devices/#")
        self.clients["site"] = site

    @staticmethod
    def viewer():
        client = Client()
        client.unix(scene.socket)
        client.connect("op:witness")
        for topic_filter in ("keyturn/v1/events/#", "$SYS/broker/keyturn/#", RESPONSE):
            assert client.subscribe(topic_filter) < 0x80, topic_filter
        return client

    def heard(self):
        """Since the last time: topic and payload, the plugin's own words as well."""
        got = []
        for client in self.clients.values():
            client.ping()
            got += client.messages
            client.messages.clear()
        return got

    def close(self):
        for client in self.clients.values():
            client.disconnect()


def refusals():
    """How often the plugin has refused what reached it: not counted what the ACL stopped."""
    return sum(int(n) for reason, n in scene.command("status")["refusals"].items() if not reason.startswith("acl."))


# --- one subject after the other


def subscribe_all(subject, client):
    """Every topic and every filter, alone and shared: the codes that are not as they should be."""
    wrong, count, allowed = [], 0, []
    filters = [(topic, reads, True) for topic, _, reads in rows(TOPICS)] + [(f, reads, True) for f, reads in rows(FILTERS)]
    filters += [(topic, reads, False) for topic, _, reads in rows(SITE_TOPICS)] + [(f, reads, False) for f, reads in rows(SITE_FILTERS)]
    for text, reads, is_keyturn in filters:
        topic_filter = subject.fill(text)
        tries = [(topic_filter, may(reads, subject.kinds))]
        if is_keyturn:
            tries.append(("$share/g/" + topic_filter, False))
        for tried, wanted in tries:
            code = client.subscribe(tried)
            count += 1
            if (code < 0x80) != wanted or (code >= 0x80 and code != NOT_AUTHORIZED):
                wrong.append((tried, hex(code)))
            if wanted:
                allowed.append(tried)
    scene.equal(f"{subject.name}: of {count} subscriptions just those {len(allowed)} that it may have", wrong, [])


made = 0


def event_for(viewer):
    """Something happens that viewers are told of: until this one has heard it."""
    global made
    made += 1
    scene.command("createDevice", device=f"made-{sys.argv[1]}-{made}")
    while viewer.message()[0] != "keyturn/v1/events/device.created":
        pass
    scene.control(viewer, {"command": "status"})


def commands_for(witnesses, subject, client):
    """The plugin speaks to each agent, to the trial and to a claimant: a welcome, an answer."""
    for name in set(DEVICES) & set(witnesses.clients):
        witnesses.clients[name].disconnect()
        witnesses.clients[name] = scene.agent(name, identities[name])
        witnesses.clients[name].subscribe(f"keyturn/v1/device/{name}/cmd")
    if subject.kinds & {"agent", "trial"}:
        client.identity = pending[subject.own] if "trial" in subject.kinds else identities[subject.own]
        client.key = client.identity.key
        client.send("hello", agent="probe", store="file", generation=str(client.identity.generation), fp=client.identity.fingerprint,
                    phase="stable", op="0")
    claimant = client if "claimant" in subject.kinds else witnesses.clients["claimant"]
    claimant.device = ""
    claimant.enroll(new_key())
    for waiting in (witnesses.clients["claimant"] if claimant is not client else None,
                    client if subject.kinds & {"agent", "trial", "claimant"} else None):
        if waiting is not None:
            waiting._until(lambda: any(topic.endswith("/cmd") for topic, _ in waiting.messages))


def hears(subject, client, witnesses):
    """Something is said on each topic; the topics of what the subject hears, gauges and events as two."""
    event_for(witnesses.clients["viewer"])
    commands_for(witnesses, subject, client)
    for topic in (f"devices/{subject.own}/x", f"devices/{subject.other}/x"):
        speaker.publish(topic, "said")
    client.ping()
    topics = {topic for topic, _ in client.messages}
    client.messages.clear()
    for prefix in ("keyturn/v1/events/", "$SYS/broker/keyturn/"):
        topics = {prefix + "#" if topic.startswith(prefix) else topic for topic in topics}
    return topics


def may_hear(subject):
    """Of that; the answers to others' commands are nobody else's."""
    own_cmd = {f"keyturn/v1/device/{subject.own}/cmd"}
    heard = {"operator": {"keyturn/v1/events/#", "$SYS/broker/keyturn/#"}, "agent": own_cmd, "trial": own_cmd, "claimant": {CLAIM_CMD}}
    topics = set().union(*(heard.get(kind, set()) for kind in subject.kinds))
    return topics | {subject.fill(topic) for topic, _, reads in rows(SITE_TOPICS)
                     if topic.startswith("devices/") and may(reads, subject.kinds)}


def publish_all(subject, client, witnesses):
    """Every topic, plain and retained: codes, what arrives, what reaches the plugin, what is kept."""
    wrong, count, arrive, reach = [], 0, set(), 0
    before = refusals()
    witnesses.heard()
    for text, writes, _ in rows(TOPICS) + rows(SITE_TOPICS):
        for retain in (False, True):
            topic = subject.fill(text)
            wanted = may(writes, subject.kinds)
            code = client.publish(topic, f"planted {topic} {retain}", retain=retain)
            count += 1
            if (code < 0x80) != wanted or (code >= 0x80 and code != NOT_AUTHORIZED):
                wrong.append((topic, retain, hex(code)))
            if wanted and topic.startswith("devices/"):
                arrive.add((topic, f"planted {topic} {retain}".encode()))
            reach += 1 if wanted and topic in (CONTROL, DEV) else 0
    scene.equal(f"{subject.name}: of {count} messages just those that it may send are acknowledged", wrong, [])
    client.ping()
    got = {m for m in witnesses.heard() + client.messages if b"planted" in m[1]}
    scene.equal(f"{subject.name}: and just those arrive, at whoever listens", got - arrive, set())
    scene.equal(f"{subject.name}: all of those", arrive - got, set())
    client.messages.clear()
    told = 0
    for _ in range(50):  # each look is a command that takes its time
        told = refusals() - before
        if told >= reach:
            break
    scene.equal(f"{subject.name}: the plugin is told what it may tell it, and no more", told, reach)


def kept(subject, what):
    """What a newcomer is given of it: nothing on Keyturn's topics."""
    witnesses = Witnesses(subject)
    got = [m for m in witnesses.heard() if b"planted" in m[1] and not m[0].startswith("devices/")]
    scene.equal(f"{subject.name}: {what}", got, [])
    return witnesses


def wills(subject, witnesses):
    """A last will on every topic: it is sent when the connection is cut, and delivered only where it may be."""
    arrive, count, closed = set(), 0, []
    before = refusals()
    witnesses.heard()
    topics = [(subject.fill(text), writes) for text, writes, _ in rows(TOPICS) + rows(SITE_TOPICS)]
    for topic, writes in topics:
        payload = f"planted will {topic}"
        count += 1
        try:
            client, code = subject.open(will=(topic, payload))
        except Closed:
            closed.append(topic)
            continue
        assert code == 0, (subject.name, topic, code)
        if topic.startswith("devices/") and may(writes, subject.kinds):
            arrive.add((topic, payload.encode()))
        client.close()
        again, code = subject.open()  # by then the will was sent
        assert code == 0, (subject.name, code)
        again.disconnect()
    scene.equal(f"{subject.name}: the broker refuses by itself just the wills that it takes from nobody", closed,
                [topic for topic, _ in topics if version.refuses_will(topic)])
    got = {m for m in witnesses.heard() if b"planted" in m[1]}
    scene.equal(f"{subject.name}: of {count} wills just those are sent that it could publish, to the site", got, arrive)
    scene.equal(f"{subject.name}: and none reaches the plugin", refusals() - before, 0)


speaker = scene.client("speaker", port="plain")
for subject in subjects:
    client, code = subject.open()
    assert code == 0, f"{subject.name} is refused: {code}"
    witnesses = Witnesses(subject)
    if subject.client_id.endswith(":agent"):
        client.close()
        client, code = subject.open()
    subscribe_all(subject, client)
    scene.equal(f"{subject.name}: hears what it may, and nothing else", hears(subject, client, witnesses), may_hear(subject))
    publish_all(subject, client, witnesses)
    client.disconnect()
    witnesses.close()
    witnesses = kept(subject, "nothing of that is kept for those who come later")
    wills(subject, witnesses)
    witnesses.close()
    for device in DEVICES:
        speaker.publish(f"devices/{device}/x", "", retain=True)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
