"""The story of test_messages.sh."""

import json
import os

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker import Broker
from device import DEV_TOPIC, Device, b64u, binding, jws, make_csr, new_key, unb64u
from scene import Scene

scene = Scene()
broker = Broker(scene).start()
td = scene.td
hub = scene.new_hub("hub-1")
hub_2 = scene.new_hub("hub-2")
refusals = 0


def spare_the_log():
    """The plugin writes 20 refusals in 10 s, and takes 40 messages of a device; a fresh one has its allowances back."""
    global refusals
    refusals += 1
    if refusals % 8 == 0:
        broker.restart()


def is_alive(agent):
    """Nothing was done, and the session goes on: a hello is answered as before."""
    agent.send("hello", agent="probe", store="file", generation=str(agent.identity.generation),
               fp=agent.identity.fingerprint, phase="stable", op="0")
    return agent.expect()["type"] == "welcome"


def told(name, reason, agent, *texts):
    """These messages are refused so: the last one is answered by reject, and the log has a line."""
    start = scene.log_size()
    for text in texts:
        agent.publish(DEV_TOPIC, text)
    message = agent.expect()
    scene.equal(f"{name}: {reason}", (message["type"], message.get("reason")), ("reject", reason))
    scene.event_since(f"{name}: in the log", start, "message.refused", f"reason={reason}", "client=hub-1:agent", "device=hub-1")
    return message


def refused(name, reason, make):
    """On a fresh session: what make(agent) returns is refused with the reason, and changes nothing."""
    spare_the_log()
    agent = scene.agent("hub-1", hub)
    told(name, reason, agent, make(agent))
    scene.check(f"{name}: the session goes on", is_alive(agent))
    agent.disconnect()


def signed(speaker, kind, key=None, header=None, **fields):
    return jws(key or hub.key, speaker.payload(kind, **fields), header)


def promoted(agent, **fields):
    return dict(dict(op="1", fp=hub.fingerprint), **fields)


def raw(make):
    """A payload as text, made from that of a good `promoted`."""
    return lambda agent: jws(hub.key, make(json.dumps(agent.payload("promoted", **promoted(agent)), separators=(",", ":"))))


def tampered(**changes):
    def make(agent):
        outer = json.loads(signed(agent, "promoted", **promoted(agent)))
        outer.update(changes)
        return json.dumps(outer)
    return make


# --- the envelope

refused("no JSON", "json.syntax", lambda a: "no JSON")
refused("an array", "json.syntax", lambda a: "[1]")
refused("a member too many", "json.field", tampered(header={}))
refused("no signature", "json.field", lambda a: json.dumps({"protected": "eyJ9", "payload": "eyJ9"}))
refused("padded base64", "jws.sig", tampered(signature="A" * 86 + "=="))
refused("a signature of zeros", "jws.sig", tampered(signature=b64u(bytes(64))))
refused("a short signature", "jws.sig", tampered(signature=b64u(bytes(63))))
refused("a payload that was not signed", "jws.sig", tampered(payload=b64u(b'{"v":1}')))
refused("a message of the plugin's kind", "jws.header", lambda a: signed(a, "promoted", header={
    "alg": "ES256", "typ": "keyturn-ctl+1"}, **promoted(a)))
refused("a header with a key of its own", "jws.header", lambda a: signed(a, "promoted", header={
    "alg": "ES256", "typ": "keyturn-dev+1", "x5c": ["AAAA"]}, **promoted(a)))
refused("a header without alg", "jws.header", lambda a: signed(a, "promoted", header={"typ": "keyturn-dev+1"}, **promoted(a)))
for alg in ("none", "HS256", "ES384"):
    refused(f"alg {alg}", "jws.alg", lambda a: signed(a, "promoted", header={"alg": alg, "typ": "keyturn-dev+1"}, **promoted(a)))
refused("another hub's signature", "jws.sig", lambda a: signed(a, "promoted", key=hub_2.key, **promoted(a)))
refused("a new key's signature", "jws.sig", lambda a: signed(a, "promoted", key=new_key(), **promoted(a)))
refused("a message of 16,385 bytes", "msg.size", lambda a: "{" + " " * 16383 + "}")

# --- the payload

refused("a member twice", "json.syntax", raw(lambda text: text[:-1] + ',"op":"2"}'))
refused("a member twice, once escaped", "json.syntax", raw(lambda text: text[:-1] + ',"o\\u0070":"2"}'))
refused("\\u0000", "json.syntax", raw(lambda text: text.replace("hub-1", "hub-1\\u0000")))
refused("a NUL byte", "json.syntax", raw(lambda text: text.replace("hub-1", "hub-1\0")))
refused("bad UTF-8", "json.syntax", raw(lambda text: text.encode().replace(b"hub-1", b"hub-\xff")))
refused("an overlong encoding", "json.syntax", raw(lambda text: text.encode().replace(b"hub-1", b"hub-\xc0\xb1")))
refused("half a surrogate pair", "json.syntax", raw(lambda text: text.replace("hub-1", "hub-\\ud800")))
refused("something behind the object", "json.syntax", raw(lambda text: text + "{}"))
refused("a fraction", "json.syntax", raw(lambda text: text.replace('"v":1', '"v":1.0')))
refused("nesting of nine", "msg.size", raw(lambda text: text[:-1] + ',"x":' + "[" * 8 + "]" * 8 + "}"))
refused("257 tokens", "msg.size", raw(lambda text: text[:-1] + ',"x":[' + ",".join("1" * 256) + "]}"))
refused("an unknown member", "json.field", raw(lambda text: text[:-1] + ',"colour":"blue"}'))
refused("null", "json.field", raw(lambda text: text.replace('"op":"1"', '"op":null')))
refused("a number for a string", "json.field", raw(lambda text: text.replace('"op":"1"', '"op":1')))
refused("a member that is missing", "json.field", lambda a: signed(a, "promoted", op="1"))
refused("a newer version", "msg.version", lambda a: signed(a, "promoted", **promoted(a, v=2)))
refused("an unknown type", "msg.type", lambda a: signed(a, "obey", op="1"))
refused("a type of the plugin's", "msg.type", lambda a: signed(a, "committed", op="1", fp=hub.fingerprint))
refused("an enrolment of an enrolled hub", "msg.type", lambda a: signed(a, "enroll", dn=b64u(a.dn), sn=None, csr=b64u(make_csr(
    new_key(), "hub-1", binding(td, "hub-1", 0, a.dn)))))
refused("an op that is too large", "op.range", lambda a: signed(a, "promoted", **promoted(a, op=str(2**63))))
refused("another hub's name", "id.mismatch", lambda a: signed(a, "promoted", **promoted(a, device="hub-2")))
refused("another trust domain", "id.mismatch", lambda a: signed(a, "promoted", **promoted(a, td="elsewhere.example")))

# --- freshness

refused("another connection's sn", "session.nonce", lambda a: signed(a, "promoted", **promoted(a, sn=b64u(os.urandom(16)))))
refused("the plugin's nonce mirrored", "session.nonce", lambda a: signed(a, "promoted", **promoted(a, sn=b64u(a.dn))))
refused("a second hello with another dn", "session.nonce", lambda a: signed(
    a, "hello", dn=b64u(os.urandom(16)), agent="probe", store="file", generation="1", fp=hub.fingerprint, phase="stable", op="0"))
spare_the_log()
first = scene.agent("hub-1", hub)
replayed = signed(first, "promoted", **promoted(first))
first.disconnect()
told("a message of an earlier connection", "session.nonce", scene.agent("hub-1", hub), replayed)
spare_the_log()
mute = Device(scene, "hub-1", hub)
mute.open("agent")
start = scene.log_size()
mute.sn = os.urandom(16)
mute.send("promoted", op="1", fp=hub.fingerprint)
scene.event_since("a message before hello is dropped", start, "message.refused", "reason=session.nonce", "client=hub-1:agent")
scene.equal("and the hello after it is answered", mute.hello()["next"], "none")

# --- op and order

refused("an op far in the future", "op.range", lambda a: signed(
    a, "hello", agent="probe", store="file", generation="1", fp=hub.fingerprint, phase="key", op="9000000000000000000"))
refused("promoted of an op that never was", "op.unknown", lambda a: signed(a, "promoted", **promoted(a, op="9000000000000000000")))
refused("promoted of another certificate", "fp.wrong", lambda a: signed(a, "promoted", **promoted(
    a, op=scene.command("getDevice", device="hub-1")["committedOp"], fp=hub_2.fingerprint)))
refused("failed of an op that never was", "op.unknown", lambda a: signed(a, "failed", op="9000000000000000000", reason="disk"))
refused("a reason that is none of a peer's", "json.field", lambda a: signed(a, "failed", op="1", reason="cert.unknown"))
refused("a csr without an op", "op.closed", lambda a: signed(
    a, "csr", op=scene.command("getDevice", device="hub-1")["lastOp"], nonce=b64u(bytes(16)), csr=b64u(make_csr(
        new_key(), "hub-1", "x"))))
refused("a confirm over the old credential", "confirm.session", lambda a: signed(
    a, "confirm", op="1", nonce=b64u(bytes(16)), fp=hub.fingerprint))
refused("an answer without a challenge", "nonce.wrong", lambda a: signed(
    a, "answer", nonce=b64u(bytes(32)), fp=hub.fingerprint, report=dict(agent="probe", store="file", generation="1", phase="stable")))

# --- the request for a certificate

scene.command("rotate", device="hub-1")
rotate = {}
key = new_key()


def csr_of(key, device="hub-1", op=None, nonce=None, **options):
    return make_csr(key, device, binding(td, device, op or rotate["op"], nonce or unb64u(rotate["nonce"])), **options)


def refused_csr(name, reason, make, **fields):
    """make() makes the request, once the op is known; fields replace those of the message."""
    spare_the_log()
    agent = scene.agent("hub-1", hub)
    rotate.update(agent.expect("rotate"))
    csr = make()
    told(name, reason, agent, signed(agent, "csr", **dict(dict(op=rotate["op"], nonce=rotate["nonce"], csr=b64u(csr)), **fields)))
    scene.equal(f"{name}: the op is as it was", scene.command("getDevice", device="hub-1")["phase"], "open")
    agent.disconnect()


def off_curve(csr):
    """The point's last byte is another one: no point of the curve."""
    request = x509.load_der_x509_csr(csr)
    point = request.public_key().public_numbers()
    raw_point = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    return csr.replace(raw_point, raw_point[:-1] + bytes([raw_point[-1] ^ 1]))


def spoiled(csr):
    """Its signature is another one."""
    return csr[:-1] + bytes([csr[-1] ^ 1])


other_op = str(int(scene.command("getDevice", device="hub-1")["op"]) - 1)
is_ca = [(x509.BasicConstraints(True, None), True)]
may_sign = [(x509.KeyUsage(True, False, False, False, False, True, False, False, False), True)]
refused_csr("a csr with a wrong nonce", "nonce.wrong", lambda: csr_of(key), nonce=b64u(bytes(16)))
refused_csr("a csr of an older op", "op.stale", lambda: csr_of(key), op=other_op)
refused_csr("a csr of an op that never was", "op.unknown", lambda: csr_of(key), op="9000000000000000000")
refused_csr("a request for another device", "csr.bind", lambda: csr_of(key, device="hub-2"))
refused_csr("a request for another op", "csr.bind", lambda: csr_of(key, op=other_op))
refused_csr("a request with another nonce", "csr.bind", lambda: csr_of(key, nonce=bytes(16)))
refused_csr("a request without a bond", "csr.bind", lambda: make_csr(key, "hub-1", "x"))
refused_csr("RSA with 1024 bits", "csr.key", lambda: csr_of(rsa.generate_private_key(65537, 1024)))
refused_csr("RSA with 2048 bits", "csr.key", lambda: csr_of(rsa.generate_private_key(65537, 2048)))
for curve in (ec.SECP256K1(), ec.SECP384R1(), ec.SECP521R1(), ec.BrainpoolP256R1()):
    refused_csr(f"a key on {curve.name}", "csr.key", lambda: csr_of(ec.generate_private_key(curve)))
refused_csr("a point off the curve", "csr.key", lambda: off_curve(csr_of(key)))
refused_csr("a request that its key did not sign", "csr.sig", lambda: spoiled(csr_of(key)))
refused_csr("a request to be a CA", "csr.extension", lambda: csr_of(key, extensions=is_ca))
refused_csr("a request to sign certificates", "csr.extension", lambda: csr_of(key, extensions=may_sign))
refused_csr("a request with trailing bytes", "csr.syntax", lambda: csr_of(key) + b"\0")
refused_csr("half a request", "csr.syntax", lambda: csr_of(key)[:100])
refused_csr("a request of 4,097 bytes", "msg.size", lambda: csr_of(key).ljust(4097, b"\0"))
refused_csr("the current key once more", "key.known", lambda: csr_of(hub.key))
refused_csr("another hub's key", "key.known", lambda: csr_of(hub_2.key))

# --- and after all that, the right one

spare_the_log()
agent = scene.agent("hub-1", hub)
agent.expect("rotate")
scene.answer_rotate(agent, rotate, key)
cert = agent.expect("cert")
scene.equal("the right request gets its certificate", cert["op"], rotate["op"])
agent.disconnect()
again = scene.agent("hub-1", hub, phase="key", op=rotate["op"])
scene.equal("a hub that lost the answer", again.welcome["next"], "cert")
scene.equal("gets the same bytes at its next hello", again.expect("cert")["chain"], cert["chain"])
scene.answer_rotate(again, rotate, key)
scene.equal("and when it asks again", again.expect("cert")["chain"], cert["chain"])
again.disconnect()

# --- the confirmation

cert["nonce"] = rotate["nonce"]
new = scene.save_identity("hub-1", key, cert["chain"])


def refused_confirm(name, reason, **fields):
    spare_the_log()
    trial = Device(scene, "hub-1", new)
    trial.open("trial")
    trial.hello(phase="cert", op=rotate["op"])
    start = scene.log_size()
    trial.send("confirm", **dict(dict(op=rotate["op"], nonce=rotate["nonce"], fp=new.fingerprint), **fields))
    scene.equal(f"{name}: {reason}", trial.reject_reason(), reason)
    scene.event_since(f"{name}: in the log", start, "message.refused", f"reason={reason}", "client=hub-1:trial")
    trial.disconnect()


refused_confirm("a confirm with a wrong nonce", "nonce.wrong", nonce=b64u(bytes(16)))
refused_confirm("a confirm of an older op", "op.stale", op=other_op)
refused_confirm("a confirm of an op that never was", "op.unknown", op="9000000000000000000")
refused_confirm("a confirm of the old certificate", "fp.wrong", fp=hub.fingerprint)
scene.equal("nothing is committed by that", scene.command("getDevice", device="hub-1")["generation"], 1)
scene.commit("hub-1", new, cert)
scene.promote("hub-1", new, cert["op"])
scene.equal("the right one commits", scene.command("getDevice", device="hub-1")["generation"], 2)
hub = new
refused("a csr once more, after the op", "op.closed", lambda a: signed(
    a, "csr", op=rotate["op"], nonce=rotate["nonce"], csr=b64u(csr_of(key))))

# --- two keys for one op: somebody else holds this hub's key

spare_the_log()
pending, second = scene.issue("hub-1", hub)
trial = Device(scene, "hub-1", pending)
trial.open("trial")
thief = scene.agent("hub-1", hub, phase="key", op=second["op"])
start = scene.log_size()
thief.expect("cert")
scene.answer_rotate(thief, second, new_key())
scene.equal("a second key for one op: key.second", thief.reject_reason(), "key.second")
scene.event_since("a second key is an alarm", start, "clone.alarmed", "device=hub-1", "reason=key.second")
scene.event_since("and freezes the rotation", start, "rotation.frozen", "device=hub-1", "reason=key.second")
scene.check("the pending credential is dropped", trial.is_closed_within(5))
scene.refused("the first key's certificate", "op.closed", "hub-1:trial", pending.path)
scene.equal("a frozen hub is not rotated", scene.error_of("rotate", device="hub-1"), "frozen")
scene.equal("its current credential goes on", scene.agent("hub-1", hub).welcome["next"], "none")
scene.command("release", device="hub-1", freeze=True)
hub = scene.rotated("hub-1", hub)
scene.equal("released, it rotates again", scene.command("getDevice", device="hub-1")["current"]["fp"], hub.fingerprint)

# --- too much

spare_the_log()
flood = scene.agent("hub-1", hub)
start = scene.log_size()
for _ in range(15):
    flood.publish(DEV_TOPIC, "x")
scene.event_since("who floods is dropped: msg.rate", start, "message.refused", "reason=msg.rate", "client=hub-1:agent")
scene.check("and served again later", scene.agent("hub-1", hub, former=flood).welcome is not None)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
