"""Where a story plays: ports, files, the operator's socket; and the counting of checks."""

import json
import os
import re
import time

import version
from broker import Broker
from device import Device, Identity, b64u, binding, key_id, make_csr, new_key, unb64u, write_identity
from mqtt5 import Client, Closed, Timeout

CONTROL = "$CONTROL/keyturn/v1"
NOT_AUTHORIZED = 0x87


class Scene:
    """Reads what the shell side of the story exported: KT_TMP, PORT, CLAIM_PORT, TD."""

    def __init__(self):
        self.tmp = os.environ["KT_TMP"]
        self.port = int(os.environ["PORT"])
        self.claim_port = int(os.environ.get("CLAIM_PORT", "0"))
        self.plain_port = int(os.environ.get("PLAIN_PORT", "0"))
        self.td = os.environ["TD"]
        self.root = self.tmp + "/pki/root.pem"
        self.socket = self.tmp + "/op.sock"
        self.log = self.tmp + "/broker.log"
        self.passed = self.failed = 0
        self.sources = 0

    # --- checks

    def check(self, name, is_good, detail=""):
        if is_good:
            self.passed += 1
            print(f"ok {name}", flush=True)
        else:
            self.failed += 1
            print(f"not ok {name}\n    {detail}", flush=True)

    def equal(self, name, got, want):
        self.check(name, got == want, f"got {got!r}, expected {want!r}")

    def logged(self, name, pattern, timeout=5):
        """Some line of the broker's log matches, now or soon."""
        self.check(name, self.wait_log(pattern, timeout), f"no line of the log matches {pattern}")

    def wait_log(self, pattern, timeout=5):
        deadline = time.monotonic() + timeout
        while True:
            with open(self.log, errors="replace") as lines:
                if any(re.search(pattern, line) for line in lines):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)

    def log_size(self):
        return os.path.getsize(self.log)

    def log_from(self, start):
        with open(self.log, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def logged_since(self, start, pattern, timeout=5):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.log_from(start)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def event_since(self, name, start, event, *words, timeout=5):
        """A line of the plugin since then with this event and, in any order, these fields."""
        pattern = rf"event={re.escape(event)}(?= |$)" + "".join(rf"(?=.* {re.escape(w)}(?: |$))" for w in words)
        is_there = self.logged_since(start, "(?m)" + pattern, timeout)
        self.check(name, is_there, f"no line {event} with {words} in:\n{self.log_from(start)[-1500:]}")

    def no_event_since(self, name, start, event, *words):
        pattern = rf"event={re.escape(event)}(?= |$)" + "".join(rf"(?=.* {re.escape(w)}(?: |$))" for w in words)
        found = re.search("(?m)^.*" + pattern + ".*$", self.log_from(start))
        self.check(name, found is None, found and found.group(0))

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        raise SystemExit(0 if self.failed == 0 and self.passed > 0 else 1)

    # --- the operator

    def operator(self, *commands, raw=None):
        """One batch over the local socket; the list of responses."""
        client = Client()
        client.unix(self.socket)
        client.connect("op:probe-" + os.urandom(4).hex())
        client.publish(CONTROL, raw if raw is not None else json.dumps({"commands": list(commands)}))
        topic, text = client.message()
        client.disconnect()
        assert topic == CONTROL + "/response", topic
        return json.loads(text)["responses"]

    def command(self, name, **fields):
        """One command; its data, or raises with the error."""
        response = self.operator(dict(command=name, **fields))[0]
        if "error" in response:
            raise AssertionError(f"{name}: {response}")
        return response.get("data", {})

    def error_of(self, name, **fields):
        return self.operator(dict(command=name, **fields))[0].get("error")

    def control(self, client, *commands, raw=None):
        """One batch over a connection that is there; the list of responses."""
        client.publish(CONTROL, raw if raw is not None else json.dumps({"commands": list(commands)}))
        while True:
            topic, text = client.message()
            if topic == CONTROL + "/response":
                return json.loads(text)["responses"]

    # --- who is not let in

    def code_of(self, reason):
        """The CONNACK of a refusal: 2.0 has one code for all of them."""
        if not version.NAMES_REFUSALS:
            return NOT_AUTHORIZED
        return {"cert.revoked": 0x8a, "clientid": 0x85}.get(reason, NOT_AUTHORIZED)

    def refused(self, name, reason, client_id, identity=None, port=None, **options):
        """Who connects so gets this refusal, and the log line says for whom and why."""
        start = self.log_size()
        code = self.connect_code(client_id, identity, port, **options)
        self.equal(f"{name} is refused", code, self.code_of(reason))
        self.event_since(f"{name}: {reason} in the log", start, "client.refused", f"reason={reason}",
                         f"client={client_id}" if re.fullmatch(r"[A-Za-z0-9._:/@+-]+", client_id) else
                         f'client="{client_id}"')

    def let_in(self, name, client_id, identity=None, port=None, **options):
        self.equal(name, self.connect_code(client_id, identity, port, **options), 0)

    def source(self):
        """Another address of this machine: new hubs are limited by address."""
        self.sources += 1
        return f"127.0.0.{2 + self.sources % 250}"

    # --- hubs

    def new_hub(self, device):
        """Enrols a hub by a ticket, to the end (promoted); its Identity."""
        if self.error_of("getDevice", device=device) is not None:
            self.command("createDevice", device=device)
        secret = self.ticket_secret(device)
        key = new_key()
        claim = Device(self, device)
        claim.source = self.source()
        assert claim.open_claim(self.claim_port) == 0
        claim.enroll(key, ticket=b64u(secret))
        enrolled = claim.expect("enrolled")
        claim.disconnect()
        return self.confirm(device, key, enrolled)

    def answer_rotate(self, agent, rotate, key, **changes):
        """The csr to a `rotate`: as it should be, but for the changes."""
        request = changes.pop("csr", None) or make_csr(
            key, agent.device, binding(self.td, agent.device, rotate["op"], unb64u(rotate["nonce"])))
        fields = dict(op=rotate["op"], nonce=rotate["nonce"], csr=b64u(request))
        fields.update(changes)
        agent.send("csr", **fields)

    def issue(self, device, identity):
        """A rotation up to `cert`: the new identity, pending, and the message (with its nonce)."""
        agent = self.agent(device, identity)
        self.command("rotate", device=device)
        rotate = agent.expect("rotate")
        key = new_key()
        self.answer_rotate(agent, rotate, key)
        cert = agent.expect("cert")
        cert["nonce"] = rotate["nonce"]
        agent.disconnect()
        return self.save_identity(device, key, cert["chain"]), cert

    def commit(self, device, pending, given):
        """Trial, confirm, committed; without promoted."""
        trial = Device(self, device, pending)
        assert trial.open("trial") == 0
        assert trial.hello(phase="cert", op=given["op"])["next"] == "confirm"
        trial.send("confirm", op=given["op"], nonce=given["nonce"], fp=pending.fingerprint)
        committed = trial.expect("committed")
        trial.disconnect()
        return committed

    def promote(self, device, identity, op):
        agent = self.agent(device, identity, op=op)
        agent.send("promoted", op=op, fp=identity.fingerprint)
        agent.expect("noted")
        agent.disconnect()

    def rotated(self, device, identity):
        """A whole rotation, promoted; the new identity."""
        pending, cert = self.issue(device, identity)
        self.commit(device, pending, cert)
        self.promote(device, pending, cert["op"])
        return pending

    def ticket_secret(self, device):
        ticket = self.command("createTicket", device=device)["ticket"]
        return unb64u(json.loads(unb64u(ticket.split(".", 1)[1]))["secret"])

    def save_identity(self, device, key, chain):
        path = f"{self.tmp}/{device}-{os.urandom(4).hex()}.pem"
        write_identity(path, key, [unb64u(der) for der in chain])
        os.chmod(path, 0o600)
        return Identity(path)

    def confirm(self, device, key, given):
        """Trial, confirm, committed, promoted, for `enrolled` or `cert` (with its nonce put in)."""
        identity = self.save_identity(device, key, given["chain"])
        self.commit(device, identity, given)
        self.promote(device, identity, given["op"])
        return identity

    def agent(self, device, identity, former=None, **hello):
        """A live <device>:agent after its welcome. former: the connection that it takes over, spoken to just now."""
        agent = Device(self, device, identity)
        if former is not None:
            agent.former.add(b64u(former.dn))
        code = agent.open("agent")
        assert code == 0, f"{device}:agent is refused: {code}"
        agent.welcome = agent.hello(**hello)
        return agent

    def connect_code(self, client_id, identity=None, port=None, **options):
        """CONNACK code; "closed" where there is none."""
        client = Client()
        try:
            self.reach(client, identity, port)
            return client.connect(client_id, **options)
        except Closed:
            return "closed"
        finally:
            client.close()

    def reach(self, client, identity=None, port=None):
        """The transport. port: None (certificates), "claim", "plain", "unix"."""
        if port == "unix":
            client.unix(self.socket)
        elif port == "plain":
            client.tcp(self.plain_port)
        else:
            client.tls(self.claim_port if port == "claim" else port or self.port, self.root, identity)

    def client(self, client_id, identity=None, port=None, source="", **options):
        """A connected client; the story breaks off if it is not let in."""
        client = Client()
        client.source = source
        self.reach(client, identity, port)
        code = client.connect(client_id, **options)
        assert code == 0, f"{client_id} is refused: {code}"
        return client
