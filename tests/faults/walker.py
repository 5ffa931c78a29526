"""A hub that has patience: what it was not answered it says again, on a new connection, as docs/PROTOCOL.md has it."""

import os

from alloc_page import Lost
from device import Device, Identity, b64u, binding, make_csr, new_key, unb64u, write_identity
from mqtt5 import Closed, Timeout
from place import Failed, need

TRIES_MAX = 30
AGAIN = ("busy", "rate")  # a hub comes back after these


class Walker:
    """One hub. page: of the broker, whose failures make an answer's absence a loss and no defect."""

    def __init__(self, place, page, name, identity=None):
        self.place, self.page, self.name, self.identity = place, page, name, identity
        self.phase, self.op = "stable", "0"
        self.key = self.pending = self.nonce = None
        self.agent = self.trial = None
        self.is_enrolling = False
        self.ticket = None

    # --- one step, and again

    def until(self, what, step):
        """step() until it says True; what is lost is done again."""
        for _ in range(TRIES_MAX):
            try:
                if step():
                    return
            except (Lost, Closed, Timeout) as error:
                need(self.page.failed() > 0 or isinstance(error, Lost), f"{what}: {type(error).__name__} {error}, and nothing failed")
                self.page.disarm()
                self.close()
        raise Failed(f"{what}: not in {TRIES_MAX} tries")

    def close(self):
        for device in (self.agent, self.trial):
            if device is not None:
                device.close()
        self.agent = self.trial = None

    def hear(self, device, *kinds):
        """The next message of these kinds; others are passed over."""
        found = []

        def is_there():
            try:
                message = device.expect(None, 0.02)
            except Timeout:
                return False
            if message["type"] == "reject":
                if message["reason"] in AGAIN:
                    raise Lost(message["reason"])
                raise Failed(f"{self.name} waits for {kinds} and is refused: {message}")
            if message["type"] in kinds:
                found.append(message)
            return bool(found)

        self.page.wait(f"{self.name}: {kinds}", is_there)
        return found[0]

    def enter(self, tag, identity):
        """A session; a hub in good standing may be left without an answer, but is never refused."""
        device = Device(self.place, self.name, identity, timeout=60)
        code = device.open(tag)
        if code != 0:
            device.close()
            if code == self.place.busy_code():
                raise Lost("busy")
            raise Failed(f"refused: {self.name}:{tag} is refused by name ({code}) with a credential in force")
        return device

    def hello(self, device, identity):
        device.send("hello", agent="probe", store="file", generation=str(identity.generation), fp=identity.fingerprint,
                    phase=self.phase, op=self.op)
        welcome = self.hear(device, "welcome")
        device.sn = unb64u(welcome["sn"])
        return welcome

    # --- the ways

    def online(self):
        """An :agent that has had its welcome."""
        def step():
            if self.agent is None:
                self.agent = self.enter("agent", self.identity)
                self.agent.welcome = self.hello(self.agent, self.identity)
            return True
        self.until("to be in session", step)
        return self.agent

    def rotate(self, op):
        """From the order to `noted`."""
        def step():
            if self.phase != "cert":
                self._get_certificate(op)
            self._confirm()
            return True
        self.until(f"rotation {op}", step)
        self._promote()

    def _get_certificate(self, op):
        welcome = None
        if self.agent is None:
            self.agent = self.enter("agent", self.identity)
            welcome = self.hello(self.agent, self.identity)
        if welcome is None or welcome["next"] == "rotate":
            rotate = self.hear(self.agent, "rotate")
            while int(rotate["op"]) < int(op):  # one whose answer was lost, and that was ordered again
                rotate = self.hear(self.agent, "rotate")
            self._send_csr(rotate)
        elif self.phase == "stable":  # the order has not arrived there yet
            raise Failed(f"{self.name}: rotation {op} is ordered, and hello is answered {welcome}")
        else:
            need(welcome["next"] == "cert", f"{self.name} asked for a certificate: {welcome}")
        self._take_certificate(self.hear(self.agent, "cert"))

    def _send_csr(self, rotate):
        need(rotate["cur"] == self.identity.fingerprint, f"{self.name}: another credential is current: {rotate}")
        if self.op != rotate["op"]:
            self.key = new_key()
        self.op, self.nonce, self.phase = rotate["op"], rotate["nonce"], "key"
        request = make_csr(self.key, self.name, binding(self.place.td, self.name, self.op, unb64u(self.nonce)))
        self.agent.send("csr", op=self.op, nonce=self.nonce, csr=b64u(request))

    def _take_certificate(self, given):
        path = f"{self.place.tmp}/{self.name}.pem.new"
        write_identity(path, self.key, [unb64u(der) for der in given["chain"]])
        os.chmod(path, 0o600)
        final = f"{self.place.tmp}/{self.name}-{given['op']}.pem"
        os.rename(path, final)
        self.pending, self.phase, self.op = Identity(final), "cert", given["op"]

    def _confirm(self):
        if self.trial is None:
            self.trial = self.enter("trial", self.pending)
            welcome = self.hello(self.trial, self.pending)
            if welcome["next"] == "committed":
                self.hear(self.trial, "committed")
                return
            need(welcome["next"] == "confirm", f"{self.name}: the trial is answered {welcome}")
        self.trial.send("confirm", op=self.op, nonce=self.nonce, fp=self.pending.fingerprint)
        self.hear(self.trial, "committed")

    def _promote(self):
        old = self.identity
        self.identity, self.pending, self.phase = self.pending, None, "stable"
        self.close()

        def step():
            if self.agent is None:
                self.agent = self.enter("agent", self.identity)
                self.hello(self.agent, self.identity)
            self.agent.send("promoted", op=self.op, fp=self.identity.fingerprint)
            return self.hear(self.agent, "noted")["op"] == self.op
        self.until(f"promoted {self.op}", step)
        return old

    def enrol(self, secret):
        """By this ticket, to `noted`."""
        self.key = new_key()

        def step():
            if self.phase != "cert":
                claim = Device(self.place, self.name, timeout=60)
                claim.source = self.place.source()  # new hubs are limited by address
                try:
                    code = claim.open_claim(self.place.claim_port)
                    if code == self.place.busy_code():
                        raise Lost("busy")
                    need(code == 0, f"a claimant is refused: {code}")
                    claim.enroll(self.key, ticket=b64u(secret))
                    given = self.hear(claim, "enrolled")
                finally:
                    claim.close()
                self.nonce = given["nonce"]
                self._take_certificate(given)
            self._confirm()
            return True
        self.until("enrolment", step)
        self._promote()

