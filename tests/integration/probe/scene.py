"""Where a story plays: ports, files, the operator's socket; and the counting of checks."""

import json
import os
import re
import time

from device import Device, Identity, b64u, binding, key_id, make_csr, new_key, unb64u, write_identity
from mqtt5 import Client, Closed, Timeout

CONTROL = "$CONTROL/keyturn/v1"


class Scene:
    """Reads what the shell side of the story exported: KT_TMP, PORT, CLAIM_PORT, TD."""

    def __init__(self):
        self.tmp = os.environ["KT_TMP"]
        self.port = int(os.environ["PORT"])
        self.claim_port = int(os.environ.get("CLAIM_PORT", "0"))
        self.td = os.environ["TD"]
        self.root = self.tmp + "/pki/root.pem"
        self.socket = self.tmp + "/op.sock"
        self.log = self.tmp + "/broker.log"
        self.passed = self.failed = 0

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

    def logged_since(self, start, pattern, timeout=5):
        deadline = time.monotonic() + timeout
        while True:
            with open(self.log, "rb") as log:
                log.seek(start)
                if re.search(pattern, log.read().decode(errors="replace")):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)

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

    # --- hubs

    def new_hub(self, device):
        """Enrols a hub by a ticket, to the end (promoted); its Identity."""
        if self.error_of("getDevice", device=device) is not None:
            self.command("createDevice", device=device)
        secret = self.ticket_secret(device)
        key = new_key()
        claim = Device(self, device)
        assert claim.open_claim(self.claim_port) == 0
        claim.enroll(key, ticket=b64u(secret))
        enrolled = claim.expect("enrolled")
        claim.disconnect()
        return self.confirm(device, key, enrolled)

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
        trial = Device(self, device, identity)
        assert trial.open("trial") == 0
        assert trial.hello(phase="cert", op=given["op"])["next"] == "confirm"
        trial.send("confirm", op=given["op"], nonce=given["nonce"], fp=identity.fingerprint)
        trial.expect("committed")
        trial.disconnect()
        agent = self.agent(device, identity, op=given["op"])
        agent.send("promoted", op=given["op"], fp=identity.fingerprint)
        agent.expect("noted")
        agent.disconnect()
        return identity

    def agent(self, device, identity, **hello):
        """A live <device>:agent after its welcome."""
        agent = Device(self, device, identity)
        code = agent.open("agent")
        assert code == 0, f"{device}:agent is refused: {code}"
        agent.welcome = agent.hello(**hello)
        return agent

    def connect_code(self, client_id, identity=None, port=None, **options):
        """CONNACK code; "closed" where there is none."""
        client = Client()
        try:
            if port == "unix":
                client.unix(self.socket)
            else:
                client.tls(port or self.port, self.root, identity)
            return client.connect(client_id, **options)
        except Closed:
            return "closed"
        finally:
            client.close()
