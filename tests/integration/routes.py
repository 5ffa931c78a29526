"""The story of test_routes.sh.

Workers (processes) revoke one hub after the other; each hub has sessions, TLS sessions to resume, a
ticket, a will before that. Once its revoke is acknowledged, every route is tried. A try is a function of
a hub, which says "in" or "out"; the same function is asked about a hub that is not revoked.
"""

import json
import os
import ssl
import sys
import threading
import time

from broker import Broker
from device import Device, Identity, b64u, new_key, unb64u
from mqtt5 import Client, Closed, Timeout
from scene import Scene

scene = Scene()
Client.patience = 60
HUBS, WORKERS = int(os.environ["HUBS"]), int(os.environ["WORKERS"])
SECOND_PORT = int(os.environ["SECOND_PORT"])
CLAIM = scene.tmp + "/claim.pem"
RACERS = 2
LONG = 30  # seconds, for what comes at once: other programs may keep the machine busy
SOME = 10  # of so many hubs one is accompanied where no hub at all gets in
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Vacuous(Exception):
    """The try was none: what it is about did not happen."""


def context_for(identity, version=None, no_ticket=False):
    context = ssl.create_default_context(cafile=scene.root)
    context.load_cert_chain(identity)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if no_ticket:
        context.options |= ssl.OP_NO_TICKET
    return context


CONTEXTS = {}  # of the hub in turn: reading its key anew for each try takes longer than the try


def context_of(identity):
    if identity not in CONTEXTS:
        if len(CONTEXTS) > 16:
            CONTEXTS.clear()
        CONTEXTS[identity] = context_for(identity)
    return CONTEXTS[identity]


def claim_id():
    return "claim:" + b64u(os.urandom(16))


class Source:
    """Addresses of this machine: the lanes of claimants are limited by address."""

    def __init__(self, worker):
        self.worker, self.count = worker, 0

    def next(self):
        self.count += 1
        return f"127.{1 + self.worker}.{self.count // 250}.{1 + self.count % 250}"


def ticket_for(device):
    text = scene.command("createTicket", device=device)["ticket"]
    return unb64u(json.loads(unb64u(text.split(".", 1)[1]))["secret"])


def verdict(code):
    if code == "closed":
        raise Vacuous("no CONNACK")
    return "in" if code == 0 else "out"


def connect(client_id, identity=None, port=None, context=None, session=None, keep=None, **options):
    """The CONNACK, "closed" without one; keep: a list that gets the open client."""
    client = Client()
    code = "closed"
    try:
        if identity is not None or context is not None:
            client.tls(port or scene.port, scene.root, session=session, context=context or context_of(identity))
        else:
            scene.reach(client, identity, port)
        code = client.connect(client_id, **options)
        if session is not None and not client.sock.session_reused:
            raise Vacuous("not resumed")
    except Closed:
        pass
    finally:
        if keep is not None and code == 0:
            keep.append(client)
        else:
            client.close()
    return code


class Resumption:
    """A TLS session of before the revoke."""

    def __init__(self, hub, tag, version, no_ticket=False):
        self.client_id = hub.name + tag
        self.context = context_for(hub.current, version, no_ticket)
        client = Client()
        client.tls(scene.port, scene.root, context=self.context)
        if client.connect(self.client_id) != 0:
            raise AssertionError(f"{self.client_id} is not let in")
        self.session = client.sock.session
        if self.session is None or self.session.has_ticket == no_ticket:
            raise Vacuous(f"no TLS session of that kind for {self.client_id}")
        client.disconnect()

    def go(self):
        return verdict(connect(self.client_id, context=self.context, session=self.session))


class Hub:
    """bench-<i>, and what it has prepared."""

    def __init__(self, i, source):
        self.i, self.name = i, f"bench-{i}"
        self.old, self.current, self.pending = (f"{scene.tmp}/identities/{i}{kind}.pem" for kind in (".old", "", ".new"))
        self.source = source
        self.is_revoked = False
        self.key = None
        self.wills = []

    def prepare(self, claims_as=None):
        """claims_as: whom its ticket is for."""
        self.ticket12 = Resumption(self, ":t12", TLS12)
        self.ticket13 = Resumption(self, ":t13", TLS13)
        self.by_id = Resumption(self, ":sid", TLS12, no_ticket=True)
        keep = Client()
        scene.reach(keep, self.current)
        assert keep.connect(self.name + ":keep", expiry=600) == 0
        assert keep.subscribe(f"devices/{self.name}/#") < 0x80
        keep.disconnect()
        will = scene.client(self.name + ":will", self.current, will=(f"devices/{self.name}/will", "gone"),
                            keep_alive=0)
        self.wills.append(will)
        self.claims_as = claims_as or self.name
        self.ticket = ticket_for(self.claims_as)
        self.uses_ticket_first = claims_as is None and self.i % 2 == 1
        if self.uses_ticket_first:
            self.key = new_key()
            given = self.claim_with_ticket(self.key)
            assert given["type"] == "enrolled", given
            self.pending = scene.save_identity(self.name, self.key, given["chain"]).path
        else:
            self.key = new_key()

    def claim_with_ticket(self, key):
        claim = Device(scene, self.claims_as)
        claim.source = self.source.next()
        try:
            assert claim.open_claim(scene.claim_port) == 0
            claim.enroll(key, ticket=b64u(self.ticket))
            return claim.expect()
        finally:
            claim.close()

    # --- the routes; each returns "in" or "out" for every try

    def fresh(self):
        yield verdict(connect(self.name + ("", ":agent", ":trial", ":app")[self.i % 4], self.current))

    def tls_ticket_12(self):
        yield self.ticket12.go()

    def tls_ticket_13(self):
        yield self.ticket13.go()

    def tls_session_id(self):
        yield self.by_id.go()

    def pending_key(self):
        yield verdict(connect(self.name + ":trial", self.pending))

    def pending_key_as_another(self):
        """No hub at all: it is for the trial alone."""
        yield verdict(connect(self.name + ("", ":agent", ":app")[self.i % 3], self.pending))

    def superseded_key(self):
        yield verdict(connect(self.name + (":agent", "", ":trial", ":app")[self.i % 4], self.old))

    def other_client_ids(self):
        yield verdict(connect(f"{self.name}:x{self.i}", self.current))

    def foreign_client_ids(self):
        """No hub at all gets these."""
        names = (f"bench-{HUBS}", f"bench-{HUBS}:agent", "op:probe", "visitor", "", claim_id())
        yield verdict(connect(names[self.i % len(names)], self.current))
        yield verdict(connect(names[self.i % len(names)], self.current, username=self.name))

    def other_listener(self):
        yield verdict(connect(self.name + (":agent", "")[self.i % 2], self.current, port=SECOND_PORT))

    def no_certificate(self):
        """By its names alone, at each listener that asks for no certificate: no hub at all."""
        for port in ("claim", "plain", "unix"):
            yield verdict(connect(self.name, None, port, username=self.name))
            yield verdict(connect("visitor" if port != "unix" else "op:visitor", None, port, username=self.name))
            yield verdict(connect(self.name + ":agent", None, port))

    def persistent_session(self):
        kept = []
        code = connect(self.name + ":keep", self.current, clean=False, expiry=600, keep=kept)
        for client in kept:
            if not client.session_present:
                raise Vacuous("no session is there")
            client.disconnect()
        yield verdict(code)

    def will(self):
        """It was in session when the revoke came; the watcher would hear of it, too."""
        client = self.wills.pop()
        is_closed = client.is_closed_within(LONG) if self.is_revoked else False
        client.close()
        yield "out" if is_closed else "in"
        yield verdict(connect(self.name + ":will", self.current, will=(f"devices/{self.name}/will", "again")))

    def extended_authentication(self):
        """No hub at all."""
        yield verdict(connect(self.name + (":agent", "")[self.i % 2], self.current, auth_method="SCRAM-SHA-256"))

    def claim_lane(self):
        """No hub at all, with its certificate."""
        yield verdict(connect(claim_id(), self.current))

    def claim_with_its_ticket(self):
        """Used before the revoke, by this very key, or not yet."""
        answer = self.claim_with_ticket(self.key)
        yield "in" if answer["type"] in ("enrolled", "pending") else "out"


ROUTES = ("fresh", "tls_ticket_12", "tls_ticket_13", "tls_session_id", "pending_key", "pending_key_as_another", "superseded_key",
          "other_client_ids", "foreign_client_ids", "other_listener", "no_certificate", "persistent_session", "will",
          "extended_authentication", "claim_lane", "claim_with_its_ticket")
NOBODY_IN = ("pending_key_as_another", "superseded_key", "foreign_client_ids", "no_certificate", "extended_authentication", "claim_lane")


class Racer(threading.Thread):
    """Connects again and again."""

    def __init__(self, hub, number):
        super().__init__(daemon=True)
        self.hub, self.number = hub, number
        self.context = context_for(hub.current)
        self.stop_wanted = threading.Event()
        self.tries = []  # (when CONNECT left, CONNACK)
        self.open = []

    def run(self):
        while not self.stop_wanted.is_set():
            client, code = Client(), "closed"
            sent = time.monotonic()
            try:
                client.tls(scene.port, scene.root, context=self.context)
                sent = time.monotonic()
                code = client.connect(f"{self.hub.name}:r{self.number}-{len(self.tries)}", keep_alive=0)
            except (Closed, Timeout):
                pass
            if code == 0:
                self.open.append(client)
            else:
                client.close()
            self.tries.append((sent, code))

    def count_since(self, moment):
        return sum(1 for sent, _ in self.tries if sent > moment)


def race(hub, end):
    """Connects in flight while end() is done: (tries after it, of them in; sessions of before, of them open)."""
    racers = [Racer(hub, n) for n in range(RACERS)]
    for racer in racers:
        racer.start()
    while not all(racer.tries for racer in racers):  # each has got in once
        time.sleep(0.002)
    end()
    acknowledged = time.monotonic()
    while not all(racer.count_since(acknowledged) >= 2 for racer in racers):
        time.sleep(0.002)
    for racer in racers:
        racer.stop_wanted.set()
    for racer in racers:
        racer.join()
    after = [code for racer in racers for sent, code in racer.tries if sent > acknowledged]
    clients = [client for racer in racers for client in racer.open]
    still_open = 0
    for client in clients:
        still_open += 0 if client.is_closed_within(LONG if hub.is_revoked else 0.001) else 1
        client.close()
    return len(after), sum(1 for code in after if code == 0), len(clients), still_open


class Tally:
    """Per route: tries and those that got in, of hubs revoked and of others; what was no try."""

    def __init__(self):
        self.count = {}

    def add(self, name, number=1):
        self.count[name] = self.count.get(name, 0) + number

    def go(self, hub, route, who):
        for result in getattr(hub, route)():
            self.add(f"{route} {who} tries")
            self.add(f"{route} {who} in", 1 if result == "in" else 0)

    def race(self, hub, end, who):
        tries, got_in, before, still_open = race(hub, end)
        for name, number in (("tries", tries), ("in", got_in), ("before", before), ("open", still_open)):
            self.add(f"racing_connects {who} {name}", number)
        self.add(f"racing_connects {who} races")


def work(worker):
    tally = Tally()
    source = Source(worker)
    for turn, i in enumerate(range(worker, HUBS, WORKERS)):
        other = Hub(HUBS + worker, source)
        scene.command("createDevice", device=f"new-{i}")
        other.prepare(claims_as=f"new-{i}")
        hub = Hub(i, source)
        hub.prepare()
        if turn % SOME == 0:
            tally.race(other, lambda: scene.command("getDevice", device=hub.name), "other")
        hub.is_revoked = True
        tally.race(hub, lambda: scene.command("revoke", device=hub.name, emergency=i % 2 == 0), "revoked")
        for route in ROUTES:
            tally.go(hub, route, "revoked")
            if route not in NOBODY_IN or turn % SOME == 0:
                tally.go(other, route, "other")
    return tally.count


def fork(worker):
    """A worker; its tally, or what it died of, is a file."""
    pid = os.fork()
    if pid != 0:
        return pid
    code = 1
    try:
        result = work(worker)
        code = 0
    except BaseException as error:  # pylint: disable=broad-except
        import traceback
        result = {"broke off": traceback.format_exc() or str(error)}
    with open(f"{scene.tmp}/routes.{worker}", "w") as out:
        json.dump(result, out)
    os._exit(code)


def watch(watcher, pids):
    """Hears wills until all workers are done; topics and how often."""
    heard, living = {}, set(pids)
    while True:
        for pid in list(living):
            if os.waitpid(pid, os.WNOHANG)[0] != 0:
                living.discard(pid)
        try:
            topic, payload = watcher.message(0.2)
            if topic.endswith("/will"):
                heard[topic] = heard.get(topic, 0) + 1
        except Timeout:
            if not living:
                return heard


broker = Broker(scene).start()
scene.let_in("where no hub gets in a claimant does", claim_id(), CLAIM)
scene.let_in("a claimant without a certificate", claim_id(), port="claim")
scene.let_in("a visitor", "visitor", port="plain")
scene.let_in("an operator", "op:visitor", port="unix")
watcher = scene.client("watcher", port="plain", keep_alive=0)
watcher.subscribe("devices/#")
began = time.monotonic()
sys.stdout.flush()  # a worker must not print it once more
heard = watch(watcher, [fork(worker) for worker in range(WORKERS)])
seconds = time.monotonic() - began
total = Tally()
for worker in range(WORKERS):
    part = json.load(open(f"{scene.tmp}/routes.{worker}"))
    scene.check(f"worker {worker} comes to its end", "broke off" not in part, part.get("broke off"))
    for name, number in part.items():
        if name != "broke off":
            total.add(name, number)
count = total.count

tries = 0
for route in ROUTES:
    of_revoked, got_in = count.get(f"{route} revoked tries", 0), count.get(f"{route} revoked in", -1)
    tries += of_revoked
    scene.check(f"{route.replace('_', ' ')}: {of_revoked} tries after the acknowledgement, none in",
                of_revoked >= HUBS and got_in == 0, f"{got_in} in, of {HUBS} hubs")
    of_others, got_in = count.get(f"{route} other tries", 0), count.get(f"{route} other in", -1)
    if route in NOBODY_IN:
        scene.check(f"{route.replace('_', ' ')}: nor any other hub", of_others > 0 and got_in == 0, f"{got_in} of {of_others}")
    else:
        scene.check(f"{route.replace('_', ' ')}: each of {of_others} of a hub that is not revoked is in",
                    of_others >= HUBS and got_in == of_others, f"{got_in} of {of_others}")
race_name = "racing_connects revoked "
scene.equal("racing connects: a race for each hub", count.get(race_name + "races"), HUBS)
scene.check(f"racing connects: {count.get(race_name + 'tries', 0)} after the acknowledgement, none in",
            count.get(race_name + "tries", 0) >= 2 * RACERS * HUBS and count.get(race_name + "in") == 0, count)
scene.check(f"racing connects: {count.get(race_name + 'before', 0)} that got in before are ended",
            count.get(race_name + "before", 0) >= RACERS * HUBS and count.get(race_name + "open") == 0, count)
race_name = "racing_connects other "
scene.check("racing connects: of a hub that is not revoked all get in, and stay",
            count.get(race_name + "tries", 0) > 0 and count[race_name + "in"] == count[race_name + "tries"]
            and count[race_name + "open"] == count[race_name + "before"], count)
others = [f"devices/bench-{HUBS + worker}/will" for worker in range(WORKERS)]
scene.equal("the will of no revoked hub is heard", [topic for topic in heard if topic not in others], [])
scene.equal("those of the others are, each", sum(heard.get(topic, 0) for topic in others), HUBS * 2)
refusals = {reason: int(number) for reason, number in scene.command("status")["refusals"].items()}
scene.check("the plugin has counted them", refusals.get("cert.revoked", 0) >= 5 * HUBS and
            refusals.get("auth.method", 0) == HUBS + count["extended_authentication other tries"], refusals)
scene.equal("as many hubs are revoked", int(scene.command("status")["counts"]["revoked"]), HUBS)
scene.equal("the broker ends with success", broker.stop(), 0)
print(f"{HUBS} hubs, {tries} tries and {count.get('racing_connects revoked tries', 0)} races in {seconds:.0f} s")
scene.finish()
