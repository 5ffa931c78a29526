"""What a hub does under a broker that lies. The agent is the real one; the broker is this file."""

import glob
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID, NameOID

from device import b64u, new_key, unb64u
from false_broker import FalseBroker, load_der, load_key, seal
from mqtt5 import Closed, Timeout
from scene import Scene

scene = Scene()
pki = scene.tmp + "/pki/"
hub = scene.tmp + "/hub-a"
log_path = hub + "/agent.log"
operator = scene.tmp + "/op.pem"


# --- the agent

def start_agent():
    log = open(log_path, "ab")
    return subprocess.Popen([os.environ["KT_BUILD"] + "/keyturn-agent", "run", "-c", hub + "/agent.conf"],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop_agent(process):
    process.send_signal(signal.SIGTERM)
    return process.wait(15)


def keys():
    return sorted(glob.glob(hub + "/state/identity/*/key.pem"))


def log_text(start=0):
    with open(log_path, "rb") as log:
        log.seek(start)
        return log.read().decode(errors="replace")


def wait_hub_log(pattern, start, timeout=10):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if re.search(pattern, log_text(start)):
            return True
        time.sleep(0.05)
    return False


def answers(peer):
    """The hub is still there and proves its key."""
    nonce = os.urandom(32)
    peer.say("challenge", nonce=b64u(nonce), deadline=str(int((time.time() + 60) * 1e6)))
    return peer.hear("answer")["nonce"] == b64u(nonce)


# --- certificates

def usage_der(oid):
    """SEQUENCE of one OID; python3-cryptography takes no arcs of 128 bits."""
    first, second, *rest = [int(arc) for arc in oid.split(".")]
    body = b""
    for arc in [first * 40 + second] + rest:
        digits = [arc & 127]
        while arc > 127:
            arc >>= 7
            digits.append(arc & 127 | 128)
        body += bytes(reversed(digits))
    return bytes([0x30, len(body) + 2, 6, len(body)]) + body


def sign_certificate(issuer_path, subject, key, uri, eku, serial=None):
    issuer = x509.load_pem_x509_certificate(open(pki + issuer_path + ".pem", "rb").read())
    issuer_key = load_key(pki + issuer_path + ".key")
    builder = (x509.CertificateBuilder()
               .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
               .issuer_name(issuer.subject).public_key(key.public_key())
               .serial_number(serial or x509.random_serial_number())
               .not_valid_before(issuer.not_valid_before).not_valid_after(issuer.not_valid_after)
               .add_extension(x509.BasicConstraints(False, None), True)
               .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
               .add_extension(x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, usage_der(eku)), False)
               .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False))
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


CONTROLLER_EKU = "2.25.207586152398166391847395816255904181067"
CLIENT_EKU = "1.3.6.1.5.5.7.3.2"


def controller_uri(number):
    return f"spiffe://{scene.td}/controller/{number}"


def leaf_for(key, device="hub-a", generation=2, issuer="issuing"):
    serial = int.from_bytes(b"\x4b" + generation.to_bytes(4, "big") + os.urandom(14), "big")
    return sign_certificate(issuer, device, key, f"spiffe://{scene.td}/device/{device}", CLIENT_EKU, serial)


def public_only(csr):
    """Something that sign_certificate can take a public key from."""
    class Holder:
        def public_key(self):
            return csr.public_key()
    return Holder()


# --- refused messages: name, reason in the hub's log, how the text is made

def rotate_fields(peer, hello, **changes):
    fields = {"op": str(int(time.time() * 1e6) + 1000000), "nonce": b64u(os.urandom(16)), "alg": "ES256",
              "deadline": str(int((time.time() + 3600) * 1e6)), "cur": hello["fp"]}
    fields.update(changes)
    return peer.payload("rotate", **fields)


def refusals(broker, peer, hello):
    good_key, good = broker.controller_key, broker.controller
    own = x509.load_pem_x509_certificate(open(hub + "/state/current/identity.pem", "rb").read())
    own_der = own.public_bytes(serialization.Encoding.DER)
    own_key = load_key(hub + "/state/current/key.pem")
    stranger = new_key()
    by_issuing = sign_certificate("issuing", "c", stranger, controller_uri(9), CONTROLLER_EKU)
    no_eku = sign_certificate("root", "c", stranger, controller_uri(9), CLIENT_EKU)
    no_number = sign_certificate("root", "c", stranger, f"spiffe://{scene.td}/device/hub-a", CONTROLLER_EKU)
    other_td = sign_certificate("root", "c", stranger, "spiffe://other.example/controller/9", CONTROLLER_EKU)
    zero = sign_certificate("root", "c", stranger, controller_uri(0), CONTROLLER_EKU)
    rotate = rotate_fields(peer, hello)
    text = seal(rotate, good_key, good)
    outer = json.loads(text)
    flipped = dict(outer, signature=("A" if outer["signature"][0] != "A" else "B") + outer["signature"][1:])
    yield "a signature with one bit changed", "jws.sig", json.dumps(flipped)
    yield "another key than the controller's", "jws.sig", seal(rotate, stranger, good)
    yield "a hub's own certificate and key", "cert.chain", seal(rotate, own_key, own_der)
    yield "a controller that the issuing CA made", "cert.chain", seal(rotate, stranger, by_issuing)
    yield "an operator's certificate", "cert.chain", seal(rotate, load_key(operator), load_der(operator))
    yield "the broker's certificate", "cert.chain", seal(rotate, load_key(pki + "broker.key"),
                                                        load_der(pki + "broker.pem"))
    yield "the root itself", "cert.chain", seal(rotate, load_key(pki + "root.key"), load_der(pki + "root.pem"))
    yield "a certificate of the root for another use", "cert.chain", seal(rotate, stranger, no_eku)
    yield "a certificate of the root for another name", "cert.chain", seal(rotate, stranger, no_number)
    yield "a controller of another trust domain", "cert.chain", seal(rotate, stranger, other_td)
    yield "controller number 0", "cert.chain", seal(rotate, stranger, zero)
    yield "another connection's dn", "session.nonce", seal(dict(rotate, dn=b64u(os.urandom(16))), good_key, good)
    yield "another device", "id.mismatch", seal(dict(rotate, device="hub-b"), good_key, good)
    yield "another trust domain", "id.mismatch", seal(dict(rotate, td="other.example"), good_key, good)
    yield "an op that is not new", "op.stale", seal(dict(rotate, op="1"), good_key, good)
    yield "another current certificate", "op.stale", seal(dict(rotate, cur="00" * 32), good_key, good)
    yield "an unknown type", "msg.type", seal(dict(rotate, type="reboot"), good_key, good)
    yield "an unknown field", "json.field", seal(dict(rotate, extra=1), good_key, good)
    yield "a newer version", "msg.version", seal(dict(rotate, v=2), good_key, good)
    yield "a repeated key", "json.syntax", seal(json.dumps(rotate)[:-1] + ',"type":"rotate"}', good_key, good)
    yield "a missing field", "json.field", seal({k: v for k, v in rotate.items() if k != "cur"}, good_key, good)
    yield "alg none", "jws.alg", seal(rotate, good_key, good, {"alg": "none"})
    yield "alg ES384", "jws.alg", seal(rotate, good_key, good, {"alg": "ES384"})
    yield "a device's header type", "jws.header", seal(rotate, good_key, good, {"typ": "keyturn-dev+1"})
    yield "a further header member", "jws.header", seal(rotate, good_key, good, {"kid": "1"})
    yield "no JSON", "json.syntax", "rotate!"


def refused_messages(broker):
    peer = broker.peer().accept()
    scene.equal("the hub comes as its agent", peer.client_id, "hub-a:agent")
    start = len(log_text().encode())
    first_hello = peer.hear("hello")
    peer.say("challenge", nonce=b64u(os.urandom(32)), deadline=str(int((time.time() + 60) * 1e6)))
    scene.check("nothing is obeyed before welcome", wait_hub_log("reply.refused type=challenge reason=session.nonce", start))
    peer.messages.clear()
    peer.say("welcome", sn=b64u(peer.sn), time="1", fp=first_hello["fp"], next="none", op="0")
    hello = first_hello
    before = keys()
    for name, reason, text in refusals(broker, peer, hello):
        start = len(log_text().encode())
        peer.tell(text)
        scene.check(f"refused: {name}", wait_hub_log(rf"reply\.refused .*reason={re.escape(reason)}(\s|$)", start),
                    f"expected {reason}; the log: {log_text(start)[-200:]}")
        time.sleep(0.55)  # the log is rate-limited: 20 lines in 10 s; each refusal must be seen
    peer.tell("x" * 20000)
    peer.say("committed", op="5", fp=hello["fp"])
    peer.say("noted", op="5", of="promoted")
    scene.check("the hub still answers", answers(peer))
    scene.equal("no key was made or lost", keys(), before)
    scene.equal("and nothing was sent but the answer", peer.messages, [])
    # a rotate that is right, but of an earlier connection
    recorded = seal(rotate_fields(peer, hello), broker.controller_key, broker.controller)
    peer.close()
    peer = broker.peer().accept()
    peer.welcome()
    start = len(log_text().encode())
    peer.tell(recorded)
    scene.check("refused: a message of an earlier connection",
                wait_hub_log("reply.refused type=rotate reason=session.nonce", start))
    # the controller's successor, then the one before
    successor = new_key()
    der = sign_certificate("root", "c", successor, controller_uri(7), CONTROLLER_EKU)
    nonce = b64u(os.urandom(32))
    fields = {"nonce": nonce, "deadline": str(int((time.time() + 60) * 1e6))}
    peer.tell(seal(peer.payload("challenge", **fields), successor, der))
    scene.equal("a controller of a higher number is obeyed", peer.hear("answer")["nonce"], nonce)
    start = len(log_text().encode())
    peer.say("challenge", **fields)
    scene.check("refused: the controller before it", wait_hub_log("reason=cert.chain", start))
    broker.controller_key, broker.controller = successor, der
    scene.check("its successor still counts", answers(peer))
    return peer, hello


# --- a rotation with lies in it

def lying_rotation(broker, peer, hello):
    fields = rotate_fields(peer, hello)
    op = fields["op"]
    peer.tell(seal(fields, broker.controller_key, broker.controller))
    csr_message = peer.hear("csr")
    csr = x509.load_der_x509_csr(unb64u(csr_message["csr"]))
    issuing = b64u(load_der(pki + "issuing.pem"))
    scene.equal("the old key and the new one are there", len(keys()), 2)
    peer.say("committed", op=op, fp=hello["fp"])
    for name, reason, chain in (
            ("for another key", "cert.key", [b64u(leaf_for(new_key())), issuing]),
            ("for another device", "id.mismatch", [b64u(leaf_for(public_only(csr), "hub-b")), issuing]),
            ("of another issuer", "cert.chain", [b64u(leaf_for(public_only(csr), issuer="../other/issuing")), issuing]),
            ("without its issuer", "cert.chain", [b64u(leaf_for(public_only(csr)))])):
        peer.say("cert", op=op, chain=chain)
        scene.equal(f"a certificate {name} is reported", peer.hear("failed")["reason"], reason)
        peer.say("noted", op=op, of="failed")
        scene.equal("and changes nothing", len(keys()), 2)
    leaf = leaf_for(public_only(csr))
    peer.say("cert", op=op, chain=[b64u(leaf), issuing])
    return leaf, op


def door(broker, want, code):
    """The next connection: who came, answered with @code (None: hung up on)."""
    peer = broker.peer()
    peer._until(lambda: peer.client_id is not None)
    if code is None:
        peer.close()
    else:
        peer.accept(code)
        if code:
            peer.close()
    return peer


def generation_of(peer):
    return int.from_bytes(peer.certificate.serial_number.to_bytes(19, "big")[1:5], "big")


def trial_and_cycle(broker, live, leaf, op):
    """Rule 6: what is refused or met with silence gives the other one a turn, and neither is dropped."""
    trial = door(broker, "trial", 0x88)
    scene.equal("the trial opens beside the live connection", trial.client_id, "hub-a:trial")
    scene.equal("with the new certificate", generation_of(trial), 2)
    scene.check("the live connection lives on", answers(live))
    live.close()
    seen = []
    deadline = time.monotonic() + 40
    refuse = 0x88  # no answer: 0x88 server unavailable
    while time.monotonic() < deadline and "old" not in seen:
        peer = door(broker, "", refuse)
        seen.append("old" if generation_of(peer) == 1 else "new")
    scene.check("three tries without an answer come before the old one", seen.count("new") >= 2 and seen[-1] == "old",
                str(seen))
    scene.equal("the old one as agent", peer.client_id, "hub-a:agent")
    peer = door(broker, "", 0x87)
    scene.equal("then the new one again", (peer.client_id, generation_of(peer)), ("hub-a:trial", 2))
    peer = door(broker, "", 0x87)
    scene.equal("refused, the old one has its turn at once", (peer.client_id, generation_of(peer)), ("hub-a:agent", 1))
    scene.equal("no key was dropped", len(keys()), 2)
    while True:
        peer = door(broker, "", 0)
        if peer.client_id == "hub-a:trial":
            break
        peer.close()
    peer.welcome("confirm", op)
    confirm = peer.hear("confirm")
    scene.equal("confirm names the new certificate", confirm["fp"],
                hashlib.sha256(leaf).hexdigest())
    peer.say("committed", op=op, fp="11" * 32)
    peer.say("committed", op=str(int(op) + 1), fp=confirm["fp"])
    scene.check("a commit of something else commits nothing", answers(peer) and len(keys()) == 2)
    peer.say("committed", op=op, fp=confirm["fp"])
    agent = door(broker, "", 0)
    scene.equal("after committed the agent comes with the new one", (agent.client_id, generation_of(agent)),
                ("hub-a:agent", 2))
    agent.welcome()
    promoted = agent.hear("promoted")
    scene.equal("and promotes the op", promoted["op"], op)
    scene.equal("the old key is gone by then", len(keys()), 1)
    agent.say("noted", op=op, of="promoted")
    return agent


# --- a broker that is not ours

def false_certificates():
    for name, options in (
            ("of another root", {"cert": scene.tmp + "/other/broker.pem", "key": scene.tmp + "/other/broker.key"}),
            ("for another name", {"cert": pki + "elsewhere.pem", "key": pki + "elsewhere.key"}),
            ("of a hub", {"cert": hub + "/state/current/identity.pem", "key": hub + "/state/current/identity.pem"}),
            ("over TLS 1.2", {"versions": ssl.TLSVersion.TLSv1_2})):
        broker = FalseBroker(scene, scene.port, **options)
        start = len(log_text().encode())
        said = ""
        try:
            peer = broker.peer()
            peer._until(lambda: peer.client_id is not None)
            said = peer.client_id
        except (Closed, Timeout):
            pass
        scene.equal(f"a broker with a certificate {name} hears nothing", said, "")
        scene.check("and is no reason to drop anything",
                    wait_hub_log(r"event=link\.down .*cause=(untrusted|no_answer)", start) and len(keys()) == 1)
        broker.close()


def wiping(broker):
    peer = broker.peer().accept()
    peer.welcome()
    start = len(log_text().encode())
    peer.tell(seal(peer.payload("revoked", reason="revoked", wipe=True), new_key(), broker.controller))
    scene.check("a forged revoked is refused", wait_hub_log("reply.refused .*reason=jws.sig", start))
    peer.say("revoked", reason="revoked", wipe=False)
    scene.check("a revoked without wipe costs no key", answers(peer) and len(keys()) == 1)
    peer.say("revoked", reason="revoked", wipe=True)
    scene.check("with wipe the hub hangs up", peer.is_closed_within(10))
    scene.equal("and has no key any more", keys(), [])


def main():
    agent = start_agent()
    broker = FalseBroker(scene, scene.port)
    try:
        peer, hello = refused_messages(broker)
        leaf, op = lying_rotation(broker, peer, hello)
        live = trial_and_cycle(broker, peer, leaf, op)
        live.close()
        broker.close()
        false_certificates()
        keep = broker.controller_key, broker.controller
        broker = FalseBroker(scene, scene.port)
        broker.controller_key, broker.controller = keep
        wiping(broker)
        scene.equal("the agent ends with success", stop_agent(agent), 0)
    finally:
        if agent.poll() is None:
            agent.kill()
            agent.wait()
    scene.finish()


main()
