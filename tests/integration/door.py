"""The story of test_door.sh."""

import os

from broker import Broker
from certs import DAY, forge
from device import Device, b64u
from scene import Scene

scene = Scene()
broker = Broker(scene).start()
tmp, td, pki = scene.tmp, scene.td, scene.tmp + "/pki"
device_uri = f"spiffe://{td}/device/"
CLAIM = tmp + "/claim.pem"


def claim_id():
    return "claim:" + b64u(os.urandom(16))


# --- certificates

def stranger_to_tls(name, identity, line):
    """Refused by the broker's TLS, before the plugin is asked."""
    start = scene.log_size()
    scene.equal(f"{name} gets no CONNACK", scene.connect_code("hub-t", identity), "closed")
    scene.check(f"{name}: the broker's log says why", scene.logged_since(start, line), scene.log_from(start))
    scene.no_event_since(f"{name}: the plugin is not asked", start, "session.started")


hub_t = scene.new_hub("hub-t")
scene.let_in("the hub itself comes in", "hub-t", hub_t.path)
stranger_to_tls("a device certificate of another CA of the same name",
                forge(tmp + "/unknown.pem", tmp + "/other-pki", device_uri + "hub-t", "hub-t"), "certificate verify failed")
stranger_to_tls("a self-signed certificate", forge(tmp + "/self.pem", tmp + "/other-pki", device_uri + "hub-t", "hub-t", "root"),
                "certificate verify failed")
stranger_to_tls("a certificate past its end", forge(tmp + "/ended.pem", pki, device_uri + "hub-t", "hub-t", start=-2 * DAY,
                                                    end=-DAY), "certificate verify failed")
stranger_to_tls("a client without a certificate", None, "peer did not return a certificate")

# What our own CA signed, but nobody put on record: no certificate is a right by itself.
forged = forge(tmp + "/forged.pem", pki, device_uri + "hub-t", "hub-t")
for client_id in ("hub-t", "hub-t:agent", "hub-t:trial", "hub-t:app", "visitor", claim_id(), "op:alice"):
    scene.refused(f"a forged device certificate as {client_id.split(':')[0] if client_id[0] == 'c' else client_id}",
                  "cert.unknown", client_id, forged)
scene.refused("the hub's own key under a second certificate", "cert.unknown", "hub-t:agent",
              forge(tmp + "/twin.pem", pki, device_uri + "hub-t", "hub-t", key=hub_t.key))
scene.refused("a forged operator certificate", "cert.unknown", "op:alice",
              forge(tmp + "/op.pem", pki, f"spiffe://{td}/operator/alice", "alice"))
scene.refused("an operator with the right URI and another fingerprint", "cert.unknown", "op:mallory", tmp + "/mallory.pem")
scene.refused("a URI of the trust domain in a form that is nobody's", "cert.unknown", "visitor",
              forge(tmp + "/odd.pem", pki, f"spiffe://{td}/device/hub-t/x", "hub-t"))
scene.refused("a certificate of another trust domain", "cert.foreign", "visitor",
              forge(tmp + "/foreign.pem", pki, "spiffe://elsewhere.example/device/hub-t", "hub-t"))
scene.let_in("the operator on record comes in", "op:alice", tmp + "/alice.pem")

# --- ids and user names of devices, without that device's certificate

broker.restart()
hub_p = scene.new_hub("hub-p")
hub_q = scene.new_hub("hub-q")
scene.let_in("anybody comes in without a name", "visitor", port="plain")
for client_id in ("hub-p", "hub-p:agent", "hub-p:trial", "hub-p:app", "HUB-P:app"):
    scene.refused(f"an anonymous client as {client_id}", "clientid", client_id, port="plain")
scene.refused("a client over TLS without a certificate as hub-p", "clientid", "hub-p", port="claim")
scene.refused("a client id that only begins as the hub's", "clientid", "hub-p:no/tag", port="plain")
scene.refused("an anonymous client as an operator", "clientid", "op:alice", port="plain")
scene.refused("a malformed claimant's id", "clientid", "claim:short", port="plain")
scene.refused("the agent of a hub that does not exist", "clientid", "hub-x:agent", port="plain")

scene.let_in("a user comes in with a password", "visitor", port="plain", username="alice", password="right")
scene.equal("and with no other", scene.connect_code("visitor", port="plain", username="alice", password="wrong"), 0x87)
for client_id in ("hub-p", "hub-p:agent", "hub-p:app"):
    scene.refused(f"a user with a correct password as {client_id}", "clientid", client_id, port="plain", username="alice",
                  password="right")
for username in ("hub-p", "HUB-P", "op:bob", "claim"):
    scene.refused(f"the user name {username} with a password", "username", "visitor", port="plain", username=username,
                  password="right")

broker.restart()
for client_id in ("hub-p", "hub-p:agent", "hub-p:trial", "hub-p:app"):
    scene.refused(f"the operators' socket as {client_id}", "clientid", client_id, port="unix")
scene.refused("the operators' socket with a device as user name", "username", "op:me", port="unix", username="hub-p")
for client_id in ("hub-p", "hub-p:agent", "hub-p:app"):
    scene.refused(f"an operator's certificate as {client_id}", "clientid", client_id, tmp + "/alice.pem")
scene.refused("an operator's certificate with a device as user name", "username", "op:alice", tmp + "/alice.pem",
              username="hub-p")
for client_id in ("hub-p", "hub-p:agent", "hub-p:app", "visitor"):
    scene.refused(f"a claim certificate as {client_id}", "clientid", client_id, CLAIM)
scene.refused("a claim certificate with a device as user name", "username", claim_id(), CLAIM, username="hub-p")
scene.refused("a claimant without clean start", "clean.start", claim_id(), CLAIM, clean=False)
scene.let_in("a claimant comes in", claim_id(), CLAIM)
scene.let_in("an operator comes in over the socket", "op:me", port="unix")

broker.restart()
for client_id in ("hub-p", "hub-p:agent", "hub-p:trial", "hub-p:app", "hub-q:no/tag", "visitor", claim_id(), "op:hub-q"):
    scene.refused(f"another device as {'a claimant' if client_id[:5] == 'claim' else client_id}", "clientid", client_id,
                  hub_q.path)
scene.refused("a device with another one's user name", "username", "hub-q", hub_q.path, username="hub-p")
scene.refused("an agent without clean start", "clean.start", "hub-q:agent", hub_q.path, clean=False)
scene.let_in("the device comes in as itself", "hub-q", hub_q.path)
scene.let_in("with its own user name, too", "hub-q:app", hub_q.path, username="hub-q")

# --- extended authentication would pass BASIC_AUTH by

for name, client_id, identity, port in (("with a device's certificate", "hub-p", hub_p.path, None),
                                        ("with an operator's", "op:alice", tmp + "/alice.pem", None),
                                        ("without a certificate", "visitor", None, "claim"),
                                        ("without TLS", "visitor", None, "plain"),
                                        ("over the operators' socket", "op:me", None, "unix")):
    scene.refused(f"extended authentication {name}", "auth.method", client_id, identity, port, auth_method="SCRAM-SHA-256")

# --- credentials that are over

broker.restart()
old = scene.new_hub("hub-r")
pending, cert = scene.issue("hub-r", old)
for client_id in ("hub-r", "hub-r:agent", "hub-r:app"):
    scene.refused(f"a pending credential as {client_id}", "cert.pending", client_id, pending.path)
scene.let_in("a pending credential comes in as :trial", "hub-r:trial", pending.path)
scene.let_in("the current one as everything", "hub-r:agent", old.path)
trial = Device(scene, "hub-r", pending)
trial.open("trial")
start = scene.log_size()
scene.command("cancel", device="hub-r")
scene.check("the trial of an op that is cancelled is ended", trial.is_closed_within(5))
scene.event_since("and the log says so", start, "session.ended", "client=hub-r:trial", "reason=op.closed")
scene.refused("a credential whose op was cancelled as :trial", "op.closed", "hub-r:trial", pending.path)
scene.refused("and as the agent", "op.closed", "hub-r:agent", pending.path)
scene.let_in("the current one stays", "hub-r:agent", old.path)
new = scene.rotated("hub-r", old)
for client_id in ("hub-r", "hub-r:agent", "hub-r:trial", "hub-r:app"):
    scene.refused(f"a superseded credential as {client_id}", "cert.superseded", client_id, old.path)
scene.let_in("the new one comes in", "hub-r", new.path)
scene.command("revoke", device="hub-r")
for client_id in ("hub-r", "hub-r:agent", "hub-r:trial"):
    scene.refused(f"a revoked credential as {client_id}", "cert.revoked", client_id, new.path)
gone = scene.new_hub("hub-s")
scene.command("deleteDevice", device="hub-s")
scene.refused("the credential of a deleted device", "cert.revoked", "hub-s:agent", gone.path)

counted = scene.command("status")["refusals"]
scene.equal("each refusal is counted by its reason", {r: counted.get(r) for r in ("cert.pending", "cert.superseded", "op.closed")},
            {"cert.pending": "3", "cert.superseded": "4", "op.closed": "2"})
scene.equal("the broker ends with success", broker.stop(), 0)
scene.finish()
