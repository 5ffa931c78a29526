"""The story of test_enrol.sh."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time

from broker import Broker
from cryptography import x509
from device import Device, b64u, binding, key_id, make_csr, new_key, unb64u
from scene import Scene

scene = Scene()
broker = Broker(scene).start()
td = scene.td
CLAIM = scene.tmp + "/claim.pem"


def claimant(device="", with_certificate=False):
    claim = Device(scene, device)
    claim.source = scene.source()
    code = claim.open_claim(scene.port if with_certificate else scene.claim_port, CLAIM if with_certificate else None)
    assert code == 0, code
    return claim


def ask(key, device="", ticket=None, with_certificate=False, **fields):
    """One enroll over a connection of its own; the answer."""
    claim = claimant(device, with_certificate)
    claim.enroll(key, ticket=ticket and b64u(ticket), **fields)
    answer = claim.expect()
    claim.disconnect()
    return answer


def refused(name, reason, key, **options):
    start = scene.log_size()
    answer = ask(key, **options)
    scene.equal(f"{name}: the claimant learns claim.refused", (answer["type"], answer.get("reason")), ("reject", "claim.refused"))
    scene.event_since(f"{name}: the log says {reason}", start, "enroll.refused", f"reason={reason}")


if sys.argv[1:] == ["refuse"]:
    scene.refused("a claimant without a certificate, where the configuration says so", "clientid",
                  "claim:" + b64u(os.urandom(16)), port="claim")
    scene.equal("one with a certificate comes in", scene.connect_code("claim:" + b64u(os.urandom(16)), CLAIM), 0)
    broker.stop()
    scene.finish()

# --- by ticket

scene.command("createDevice", device="hub-1")
answer = scene.command("createTicket", device="hub-1", validFor=3600)
scene.check("a ticket is one line of text", re.fullmatch(r"keyturn-ticket-1\.[A-Za-z0-9_-]+", answer["ticket"]) is not None)
inside = json.loads(unb64u(answer["ticket"].split(".", 1)[1]))
root = x509.load_pem_x509_certificate(open(scene.root, "rb").read())
scene.equal("it names broker, trust domain, device and the root's SHA-256",
            [inside[name] for name in ("v", "broker", "td", "device", "root")],
            [1, f"localhost:{scene.claim_port}", td, "hub-1",
             hashlib.sha256(root.public_bytes(x509.base.serialization.Encoding.DER)).hexdigest()])
secret = unb64u(inside["secret"])
key = new_key()
given = ask(key, "hub-1", secret)
scene.equal("a ticket gives its identity", (given["type"], given["device"], len(given["chain"])), ("enrolled", "hub-1", 2))
scene.equal("the same ticket and key again: the same certificate", ask(key, "hub-1", secret)["chain"], given["chain"])
scene.equal("also without the name", ask(key, "", secret)["device"], "hub-1")
start = scene.log_size()
answer = ask(new_key(), "hub-1", secret)
scene.equal("the same ticket with another key is refused", answer.get("reason"), "claim.refused")
scene.event_since("and is an alarm", start, "enroll.conflict", "device=hub-1", "reason=ticket.used")
identity = scene.save_identity("hub-1", key, given["chain"])
scene.refused("what was issued is a trial and nothing else", "cert.pending", "hub-1", identity.path)
scene.confirm("hub-1", key, given)
scene.let_in("after its confirmation it comes in", "hub-1", identity.path)
refused("the ticket after that", "ticket.used", key, device="hub-1", ticket=secret)

leaf, issuing = (x509.load_der_x509_certificate(unb64u(der)) for der in given["chain"])
scene.equal("the certificate names the device", leaf.subject.rfc4514_string(), "CN=hub-1")
scene.equal("and has its URI alone", [n.value for n in leaf.extensions.get_extension_for_class(
    x509.SubjectAlternativeName).value], [f"spiffe://{td}/device/hub-1"])
scene.equal("generation 1 stands in its serial number", leaf.serial_number.to_bytes(19, "big")[:5], b"\x4b\0\0\0\x01")
scene.equal("it has no end", leaf.not_valid_after.isoformat(), "9999-12-31T23:59:59")
scene.equal("and begins with its CA", leaf.not_valid_before, issuing.not_valid_before)
for name, arguments in (("the leaf", ["-untrusted", scene.tmp + "/pki/issuing.pem", identity.path]),
                        ("the issuing CA", [scene.tmp + "/pki/issuing.pem"])):
    result = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslclient" if name == "the leaf" else "any",
                             "-CAfile", scene.root] + arguments, capture_output=True, text=True, check=False)
    scene.check(f"openssl verify -x509_strict accepts {name}", result.returncode == 0, result.stdout + result.stderr)

refused("a made-up ticket", "ticket.unknown", new_key(), device="hub-9", ticket=os.urandom(32))
other = scene.ticket_secret("hub-2")
refused("a ticket for another device", "ticket.device", new_key(), device="hub-1", ticket=other)
refused("a key that another hub has", "key.known", key, device="hub-2", ticket=other)
short = unb64u(json.loads(unb64u(scene.command("createTicket", device="hub-3", validFor=1)["ticket"].split(".", 1)[1]))["secret"])
time.sleep(1.1)  # its end is no event
refused("a ticket past its end", "ticket.expired", new_key(), device="hub-3", ticket=short)
group = unb64u(json.loads(unb64u(scene.command("createTicket", group="line-3", pattern="line3-*")["ticket"].split(".", 1)[1]))[
    "secret"])
refused("a group's ticket for an id outside of its pattern", "ticket.device", new_key(), device="hub-4", ticket=group)
refused("a group's ticket for a device that is there", "ticket.device", new_key(), device="hub-1", ticket=group)
group_key = new_key()
given = ask(group_key, "line3-a", group)
scene.equal("a group's ticket makes a device", (given["type"], given["device"]), ("enrolled", "line3-a"))
scene.confirm("line3-a", group_key, given)
scene.equal("of that group", scene.command("getDevice", device="line3-a")["group"], "line-3")

# --- the request itself

broker.restart()
secret = scene.ticket_secret("hub-5")


def refused_request(name, reason, make, key=None, answered=True):
    """make(claim, key) is the payload's csr; the reason is told, and the ticket is not used up."""
    key = key or new_key()
    claim = claimant("hub-5")
    start = scene.log_size()
    claim.enroll(key, ticket=b64u(secret), csr=make(claim, key))
    if answered:
        scene.equal(f"{name}: {reason}", claim.reject_reason(), reason)
    scene.event_since(f"{name}: in the log", start, "message.refused", f"reason={reason}")
    claim.disconnect()


refused_request("a request made for another connection", "csr.bind", lambda c, k: make_csr(
    k, "hub-5", binding(td, "hub-5", 0, os.urandom(16))))
refused_request("a request made for another device", "csr.bind", lambda c, k: make_csr(k, "hub-5", binding(td, "hub-1", 0, c.dn)))
refused_request("a request with trailing bytes", "csr.syntax", lambda c, k: make_csr(
    k, "hub-5", binding(td, "hub-5", 0, c.dn)) + b"\0", answered=False)
refused_request("a request for a CA", "csr.extension", lambda c, k: make_csr(
    k, "hub-5", binding(td, "hub-5", 0, c.dn), [(x509.BasicConstraints(True, None), True)]), answered=False)
stranger = new_key()
claim = claimant("hub-5")
start = scene.log_size()
claim.key = stranger
claim.send("enroll", ticket=b64u(secret), csr=b64u(make_csr(new_key(), "hub-5", binding(td, "hub-5", 0, claim.dn))))
scene.event_since("an enrolment that the request's key did not sign: jws.sig", start, "message.refused", "reason=jws.sig")
scene.equal("none of them gets an answer but a reject", claim.silence(0.2), True)
claim.disconnect()
key = new_key()
scene.equal("and the ticket is still good", ask(key, "hub-5", secret)["type"], "enrolled")

# --- the claim lane is for enrolling alone

start = scene.log_size()
claim = claimant("hub-5", True)
claim.key, claim.sn = new_key(), os.urandom(16)
for kind, fields in (("hello", dict(agent="probe", store="file", generation="1", fp="0" * 64, phase="stable", op="0")),
                     ("csr", dict(op="1", nonce=b64u(bytes(16)), csr=b64u(b"0"))),
                     ("confirm", dict(op="1", nonce=b64u(bytes(16)), fp="0" * 64))):
    at = scene.log_size()
    claim.send(kind, **fields)
    scene.event_since(f"a claimant's {kind} is refused", at, "message.refused", "reason=msg.type", f"client={claim.client_id}")
scene.equal("and not answered", claim.silence(0.2), True)
claim.disconnect()

# --- by registered key

broker.restart()
key = new_key()
refused("a key that nobody registered, without certificate or ticket", "key.unregistered", key, device="hub-6")
scene.command("createDevice", device="hub-6", keyId=key_id(key))
refused("a registered key for another device", "key.known", key, device="hub-1", with_certificate=True)
given = ask(key, "hub-6", with_certificate=True)
scene.equal("a registered key gives its identity", (given["type"], given["device"]), ("enrolled", "hub-6"))
scene.equal("once more the same", ask(key, "", with_certificate=True)["chain"], given["chain"])
scene.confirm("hub-6", key, given)
refused("after that its key is used up", "key.known", key, device="hub-6", with_certificate=True)
scene.equal("nobody registers a key twice", scene.error_of("createDevice", device="hub-7", keyId=key_id(key)), "key.known")

# --- by approval

key = new_key()
start = scene.log_size()
claim = claimant("hub-8", True)
claim.enroll(key)
scene.equal("a claim certificate alone gets no identity", claim.expect()["type"], "pending")
scene.event_since("the operators are told", start, "device.waiting", f"key={key_id(key)}", "batch=batch-1")
claim.enroll(key)
scene.equal("however often it asks", claim.expect()["type"], "pending")
waiting = scene.command("listPending")["pending"]
scene.equal("the operator sees who waits", [(w["keyId"], w["device"], w["batch"], w["tries"]) for w in waiting],
            [(key_id(key), "hub-8", "batch-1", 2)])
scene.equal("no device came of it", scene.error_of("getDevice", device="hub-8"), "not.found")
scene.command("approve", keyId=key_id(key), device="hub-8")
scene.equal("approved, it is told to ask again", claim.expect()["type"], "pending")
claim.enroll(key)
given = claim.expect()
scene.equal("and gets its identity", (given["type"], given["device"]), ("enrolled", "hub-8"))
claim.disconnect()
scene.confirm("hub-8", key, given)
scene.equal("nobody waits any more", scene.command("listPending")["pending"], [])
key = new_key()
claim = claimant("hub-9", True)
claim.enroll(key)
claim.expect("pending")
scene.command("deny", keyId=key_id(key))
scene.equal("a denied key is told", claim.reject_reason(), "claim.refused")
claim.disconnect()
refused("a denied key", "key.denied", key, device="hub-9", with_certificate=True)
refused("a denied key with a ticket", "key.denied", key, device="hub-9", ticket=scene.ticket_secret("hub-9"))

# --- the same hub with new hardware: a ticket for a device that is there

old = scene.new_hub("hub-10")
agent = scene.agent("hub-10", old)
key = new_key()
given = ask(key, "hub-10", scene.ticket_secret("hub-10"))
scene.equal("the old hardware goes on until the new one is confirmed", agent.silence(0.1), True)
replaced = scene.save_identity("hub-10", key, given["chain"])
scene.equal("the new one has the next generation", replaced.generation, 2)
scene.commit("hub-10", replaced, given)
scene.check("then the old one's session is ended", agent.is_closed_within(5))
scene.refused("and its credential", "cert.superseded", "hub-10:agent", old.path)

# --- too often

broker.restart()
start = scene.log_size()
source = scene.source()
answers = []
for _ in range(7):
    claim = Device(scene, "")
    claim.source = source
    claim.open_claim(scene.claim_port)
    claim.enroll(new_key(), ticket=b64u(os.urandom(32)))
    answers.append(claim.reject_reason())
    claim.disconnect()
scene.equal("one address gets five answers at once, then msg.rate", (answers[:5], answers[-1]), (["claim.refused"] * 5, "msg.rate"))
scene.event_since("in the log, too", start, "message.refused", "reason=msg.rate")

# --- secrets are nowhere but in the answer

everything = open(scene.log, "rb").read() + open(scene.tmp + "/ledger/ledger.kt", "rb").read()
for held in (secret, other, group):
    for form in (b64u(held).encode(), held, held.hex().encode()):
        if form in everything:
            scene.check("a ticket's secret is in no log line and no record", False, form)
scene.check("no ticket is in log or ledger", b"keyturn-ticket-1." not in everything)
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
