"""What a running broker's plugin does while its allocations fail: one class, one operation.

prepare(): what play() needs, undisturbed. play(): the operation, with faults, to its end as soon as they are over.
settle(): undisturbed again; what must hold.
"""

import os
import signal

from alloc_page import Lost
from mqtt5 import Client, Closed, Timeout
from place import need, wait_until
from scene import NOT_AUTHORIZED
from walker import Walker


class Scene:
    def __init__(self, place):
        self.place, self.page = place, place.page

    def prepare(self):
        pass

    def play(self):
        raise NotImplementedError

    def settle(self):
        pass

    def end(self):
        pass


class Hello(Scene):
    """A hub comes, says hello, and is welcome."""

    def __init__(self, place):
        super().__init__(place)
        self.hub = place.imported()

    def play(self):
        self.hub.online()

    def settle(self):
        self.hub.online().ping()
        self.hub.close()
        self.place.need_same(self.hub.name)


class Enrol(Scene):
    """A new hub, by ticket, to `noted`."""

    def prepare(self):
        name = self.place.new_name("new")
        self.place.told("createDevice", device=name)
        self.secret = self.place.secret_of(name)
        self.hub = Walker(self.place, self.page, name)

    def play(self):
        self.hub.enrol(self.secret)

    def settle(self):
        self.place.need_same(self.hub.name)
        need(self.place.fold.devices[self.hub.name].promoted_op == int(self.hub.op), "lost: the enrolment was noted")
        self.hub.online()
        self.hub.close()


class Rotation(Scene):
    """The order, csr, cert, confirm, promoted; the old key is out."""

    def __init__(self, place):
        super().__init__(place)
        self.hub = place.imported()

    def prepare(self):
        self.old = self.hub.identity
        self.hub.online()

    def play(self):
        self.op = self.place.told("rotate", accept=("state",), device=self.hub.name).get("op", "0")
        self.hub.rotate(self.op)

    def settle(self):
        hub = self.hub
        hub.close()
        self.place.need_same(hub.name)
        device = self.place.fold.devices[hub.name]
        need(device.promoted_op == int(hub.op) >= int(self.op), f"lost: rotation {hub.op} was noted")
        need(device.current == hub.identity.fingerprint, "lock-out: another credential is current")
        code = self.place.try_as(hub.name + ":agent", self.old)
        need(code == NOT_AUTHORIZED, f"retired: the old key gets {code}")


class Revoke(Scene):
    """A hub in session is revoked, at once."""

    def prepare(self):
        self.hub = self.place.imported("gone")
        self.hub.online()
        self.app = self.place.client(self.hub.name, self.hub.identity.path)

    def play(self):
        self.place.told("revoke", accept=("state",), device=self.hub.name, emergency=True)
        for client_id in ("", ":agent", ":trial"):
            code = self.place.try_as(self.hub.name + client_id, self.hub.identity)
            need(code != 0, f"retired: revoked, and gets in as {client_id}")

    def settle(self):
        for what, client in (("the agent", self.hub.agent), ("the program", self.app)):
            need(client.is_closed_within(5), f"retired: revoked, and {what} is in session still")
            client.close()
        need(self.place.try_as(self.hub.name + ":agent", self.hub.identity) == NOT_AUTHORIZED, "retired: not refused by name")
        self.place.need_same(self.hub.name)
        need(self.place.fold.devices[self.hub.name].state == "revoked", "lost: the revoke was answered")


class Notice(Revoke):
    """The same with a signed notice, and the device deleted after it."""

    def play(self):
        self.place.told("revoke", accept=("state",), device=self.hub.name, wipe=True)
        need(self.place.try_as(self.hub.name + ":agent", self.hub.identity) != 0, "retired: revoked, and gets in")


class Door(Scene):
    """Who may not get in does not, whatever fails: revoked, superseded, unknown; nor may a hub say or hear what is not its own."""

    def __init__(self, place):
        super().__init__(place)
        self.gone, self.turned = place.imported("gone"), place.imported("turned")
        place.told("revoke", device=self.gone.name)
        self.old = self.turned.identity
        self.turned.online()
        self.turned.rotate(place.told("rotate", device=self.turned.name)["op"])
        self.stranger, _ = place.others.identity(place.tmp + "/stranger.pem", "stranger")
        self.victim = place.imported("victim")

    def prepare(self):
        self.watch = self.place.client(self.victim.name, self.victim.identity.path)
        need(self.watch.subscribe(f"devices/{self.victim.name}/#") == 1, "no subscription")
        self.hub = self.place.client(self.turned.name, self.turned.identity.path)

    def play(self):
        for name, identity in ((self.gone.name, self.gone.identity), (self.turned.name, self.old),
                               (self.turned.name, self.gone.identity), ("nobody", self.stranger)):
            for tag in ("", ":agent"):
                need(self.place.try_as(name + tag, identity) != 0, f"retired: {name + tag} gets in")
        try:
            self.hub.publish(f"devices/{self.victim.name}/in", "forged")
            need(self.hub.subscribe(f"devices/{self.victim.name}/#") >= 128, "retired: another's topics can be read")
            self.hub.publish(f"devices/{self.turned.name}/out", "true")
        except (Closed, Timeout):
            need(self.page.failed() > 0, "the hub lost its session, and nothing failed")

    def settle(self):
        self.watch.ping()
        need(self.watch.messages == [], f"retired: {self.watch.messages} came from another hub")
        self.watch.disconnect()
        self.hub.close()
        for name, identity in ((self.gone.name, self.gone.identity), (self.turned.name, self.old), ("nobody", self.stranger)):
            need(self.place.try_as(name, identity) == NOT_AUTHORIZED, f"{name} is not refused by name")
        need(self.place.try_as(self.turned.name, self.turned.identity) == 0, "lock-out: a good hub is not let in")


class Commands(Scene):
    """What an operator asks and orders, while another one reads the events."""

    def __init__(self, place):
        super().__init__(place)
        self.hub = place.imported()
        self.fp = os.urandom(32).hex()

    def prepare(self):
        self.name, self.oper = self.place.new_name("made"), self.place.new_name("ann")
        self.reader = Client(60)
        self.reader.unix(self.place.socket)
        need(self.reader.connect("op:reader") == 0, "no reader")
        need(self.reader.subscribe("keyturn/v1/events/#") == 1, "no events")

    def play(self):
        told, hub = self.place.told, self.hub.name
        told("status")
        told("createDevice", accept=("exists",), device=self.name)
        told("createTicket", device=self.name)
        told("listDevices", count=20)
        told("quarantine", accept=("state",), device=hub)
        told("release", accept=("state",), device=hub)
        told("rotate", device=hub)
        told("getDevice", device=hub)
        told("cancel", accept=("state",), device=hub)
        told("addOperator", accept=("exists",), name=self.oper, fp=self.fp, role="viewer")
        told("listOperators")
        told("removeOperator", accept=("state", "not_found", "not.found"), name=self.oper)
        told("listPending")
        told("deleteDevice", accept=("state",), device=self.name)

    def settle(self):
        self.reader.close()
        state = self.place.told("getDevice", device=self.name)["state"]
        need(state == "deleted", f"lost: the device was deleted, and is {state}")
        self.place.need_same(self.hub.name)
        device = self.place.fold.devices[self.hub.name]
        need(not device.quarantined and device.phase == "idle", f"lost: release and cancel were answered: {vars(device)}")
        need(self.place.fold.operators.get(self.oper) is False, "lost: the operator was removed")


class Reload(Scene):
    """SIGHUP: the file's topics, or the old ones and a word about it."""

    def __init__(self, place):
        super().__init__(place)
        self.hub = place.imported()
        self.path = place.tmp + "/keyturn.conf"
        self.rules = ["acl = readwrite devices/%d/#", "acl = readwrite devices/%d/#\nacl = readwrite shared/%d/#"]
        self.turn = 0

    def prepare(self):
        self.turn = 1 - self.turn
        text = open(self.path).read().replace(self.rules[1], self.rules[0])
        with open(self.path, "w") as conf:
            conf.write(text.replace(self.rules[0], self.rules[self.turn]))
        self.client = self.place.client(self.hub.name, self.hub.identity.path)
        self.begin = self.place.log_size()

    def said(self):
        return self.place.lines_since(self.begin, r"event=(config\.re\w+)")

    def may(self):
        return self.client.subscribe(f"shared/{self.hub.name}/x") < 128

    def hup(self):
        self.begin = self.place.log_size()
        os.kill(self.place.broker.child.pid, signal.SIGHUP)
        try:
            self.page.wait("a word about the configuration", self.said)
        except Lost:  # between the failure and the word was more than a moment
            wait_until("a word about the configuration", self.said, 10, lambda: self.place.log_from(self.begin))

    def play(self):
        before = self.may()
        self.hup()
        self.page.disarm()
        is_new = self.said() == ["config.reloaded"]
        need(self.may() == ((self.turn == 1) if is_new else before), f"half: {self.said()}, and the rights are not so")

    def settle(self):
        self.hup()
        need(self.said() == ["config.reloaded"] and self.may() == (self.turn == 1), "lock-out: the configuration is not in force")
        self.client.disconnect()


class Challenge(Scene):
    """A proof is asked for and given."""

    def __init__(self, place):
        super().__init__(place)
        self.hub = place.imported()

    def prepare(self):
        self.hub.online()

    def play(self):
        self.hub.until("a challenge", self._once)

    def _once(self):
        hub, begin = self.hub, self.place.log_size()
        agent = hub.online()
        response = self.place.insist({"command": "challenge", "device": hub.name})[0]
        if "error" in response:
            raise Lost(response["error"])
        challenge = hub.hear(agent, "challenge")
        agent.send("answer", nonce=challenge["nonce"], fp=hub.identity.fingerprint, report={
            "agent": "probe", "store": "file", "generation": str(hub.identity.generation), "phase": "stable"})
        self.page.wait("challenge.answered", lambda: self.place.lines_since(
            begin, r"event=challenge\.answered|event=challenge\.missed|reason=nonce\.wrong"))
        if not self.place.lines_since(begin, r"event=challenge\.answered"):
            raise Lost("too late")
        return True

    def settle(self):
        self.hub.close()
        self.hub.until("a challenge", self._once)
        self.hub.close()


class Import(Scene):
    """A certificate of another CA is taken over."""

    def prepare(self):
        self.name = self.place.new_name("imp")
        self.identity, self.pem = self.place.others.identity(f"{self.place.tmp}/{self.name}.pem", self.name)

    def play(self):
        self.place.told("importCertificate", device=self.name, certificate=self.pem)

    def settle(self):
        need(self.place.try_as(self.name, self.identity) == 0, "lost: an imported hub is not let in")
        self.place.need_same(self.name)


SCENES = {"hello": Hello, "enrol": Enrol, "rotate": Rotation, "revoke": Revoke, "notice": Notice, "door": Door,
          "commands": Commands, "reload": Reload, "challenge": Challenge, "import": Import}
