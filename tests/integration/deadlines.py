"""The story of test_deadlines.sh. argv[1]: which part of it."""

import ssl
import sys
import time

from broker import Broker
from cryptography import x509
from device import Device, new_key
from mqtt5 import Client
from scene import NOT_AUTHORIZED, Scene

scene = Scene()
broker = Broker(scene).start()


def device_of(name):
    return scene.command("getDevice", device=name)


def resumable(client_id, identity, version):
    """A client whose TLS session can be resumed, and is live."""
    context = ssl.create_default_context(cafile=scene.root)
    context.load_cert_chain(identity.path)
    context.minimum_version = context.maximum_version = version
    client = Client()
    client.tls(scene.port, scene.root, context=context)
    assert client.connect(client_id) == 0
    return client


def resume(client):
    """A second connection over the same TLS session: (was it resumed, CONNACK)."""
    again = Client()
    again.tls(scene.port, scene.root, session=client.sock.session if client.sock else client.tls_session, context=client.context)
    code = again.connect("hub-1:again")
    reused = again.sock.session_reused
    again.close()
    return reused, code


def lifetime():
    hub = scene.new_hub("hub-1")
    leaf = x509.load_pem_x509_certificate(open(hub.path, "rb").read())
    left = leaf.not_valid_after.timestamp() - time.mktime(time.gmtime())
    scene.check("a certificate with a lifetime has an end", 0 < left <= 6, leaf.not_valid_after)
    clients = {name: resumable(f"hub-1:tls{name[-1]}", hub, version)
               for name, version in (("TLS 1.2", ssl.TLSVersion.TLSv1_2), ("TLS 1.3", ssl.TLSVersion.TLSv1_3))}
    for name, client in clients.items():
        client.tls_session = client.sock.session
        scene.equal(f"before its end a resumed {name} session comes in", resume(client), (True, 0))
        client.tls_session = client.sock.session
    start = scene.log_size()
    agent = scene.agent("hub-1", hub)
    for name, client in clients.items():
        scene.check(f"at its end the live {name} session is ended", client.is_closed_within(9))
        client.sock = None
    scene.check("and the agent's", agent.is_closed_within(3))
    for client_id in ("hub-1:tls2", "hub-1:tls3", "hub-1:agent"):
        scene.event_since(f"{client_id} for its dates", start, "session.ended", f"client={client_id}", "reason=cert.dates")
    for name, client in clients.items():
        start = scene.log_size()
        scene.equal(f"after it a resumed {name} session, which TLS lets in, is refused", resume(client), (True, NOT_AUTHORIZED))
        scene.event_since(f"by the plugin: {name}", start, "client.refused", "reason=cert.dates", "client=hub-1:again")
    start = scene.log_size()
    scene.equal("a full handshake fails before that", scene.connect_code("hub-1", hub.path), "closed")
    scene.check("in the broker's TLS", scene.logged_since(start, "certificate verify failed"))
    back = scene.new_hub("hub-1")
    scene.let_in("a ticket brings it back", "hub-1", back.path)


def patience():
    hub = scene.new_hub("hub-1")
    start = scene.log_size()
    mute = Device(scene, "hub-1", hub)
    mute.open("agent")
    claim = Device(scene, "")
    claim.open_claim(scene.port, scene.tmp + "/claim.pem")
    scene.check("an agent without hello is ended", mute.is_closed_within(4))
    scene.event_since("for that", start, "session.ended", "client=hub-1:agent", "reason=hello.timeout")
    scene.check("a claimant without enroll, too", claim.is_closed_within(4))
    scene.event_since("for that", start, "claim.ended", f"client={claim.client_id}", "reason=claim.timeout")

    # An op that nobody answers, and a certificate that nobody confirms
    agent = scene.agent("hub-1", hub)
    start = scene.log_size()
    op = scene.command("rotate", device="hub-1")["op"]
    rotate = agent.expect("rotate")
    scene.event_since("an op without a csr is closed", start, "rotation.closed", "device=hub-1", f"op={op}", timeout=6)
    scene.answer_rotate(agent, rotate, new_key())
    scene.equal("a csr after that is late", agent.reject_reason(), "op.closed")
    agent.disconnect()
    start = scene.log_size()
    pending, given = scene.issue("hub-1", hub)
    trial = Device(scene, "hub-1", pending)
    trial.open("trial")
    trial.hello(phase="cert", op=given["op"])
    scene.event_since("a pending credential is given up", start, "rotation.closed", "device=hub-1", f"op={given['op']}", timeout=8)
    scene.check("its trial is ended", trial.is_closed_within(2))
    scene.refused("and its credential", "op.closed", "hub-1:trial", pending.path)
    scene.equal("the current one is as it was", device_of("hub-1")["current"]["fp"], hub.fingerprint)


def age():
    """A key that has grown old: seen at a connect, and in a session that lasts."""
    young = scene.new_hub("hub-2")
    app = scene.client("hub-2", young.path)
    scene.check("a young key has its topics", app.publish("devices/hub-2/x", "1") < 0x80)
    began = time.monotonic()
    app.disconnect()
    while time.monotonic() - began < 6 and scene.client("hub-2", young.path).publish("devices/hub-2/x", "1") < 0x80:
        time.sleep(0.3)  # its age is no event
    app = scene.client("hub-2", young.path)
    scene.check("not until its age it loses them", time.monotonic() - began > 3, time.monotonic() - began)
    scene.equal("over its age it may not publish", app.publish("devices/hub-2/x", "1"), NOT_AUTHORIZED)
    scene.equal("nor subscribe", app.subscribe("devices/hub-2/#"), NOT_AUTHORIZED)
    scene.equal("nobody rotates a hub that does not say hello", device_of("hub-2")["phase"], "idle")

    start = scene.log_size()
    agent = Device(scene, "hub-2", young)
    scene.equal("its agent gets in", agent.open("agent"), 0)
    welcome = agent.hello()
    scene.equal("and is told to rotate, though nobody ordered it", welcome["next"], "rotate")
    rotate = agent.expect("rotate")
    scene.equal("in an op of its own", rotate["op"], welcome["op"])
    scene.event_since("which the log shows", start, "rotation.opened", "device=hub-2", f"op={rotate['op']}")
    key = new_key()
    scene.answer_rotate(agent, rotate, key)
    given = agent.expect("cert")
    given["nonce"] = rotate["nonce"]
    agent.disconnect()
    new = scene.confirm("hub-2", key, given)
    scene.check("rotated, it is young again", scene.client("hub-2", new.path).publish("devices/hub-2/x", "1") < 0x80)

    # It stays in session: the plugin looks from time to time
    start = scene.log_size()
    agent = scene.agent("hub-2", new)
    scene.equal("a young key is left alone", agent.welcome["next"], "none")
    rotate = agent.expect("rotate", timeout=9)
    scene.event_since("a key that grows old in session is rotated", start, "rotation.opened", "device=hub-2", f"op={rotate['op']}")
    agent.disconnect()


{"lifetime": lifetime, "patience": patience, "age": age}[sys.argv[1]]()
scene.equal(f"{sys.argv[1]}: the broker ends with success", broker.stop(), 0)
scene.finish()
