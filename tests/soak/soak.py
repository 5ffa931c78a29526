"""The driver of tests/soak.sh: keeps a fleet rotating while everything that may die does.

    soak.py MINUTES SEED HUBS     KT_TMP, KT_BUILD, PORT, CLAIM_PORT, TD as for a story

Writes $KT_TMP/history.jsonl and decides nothing: whether what happened was right is asked of it
afterwards, by check_history.py, which shares no code with this or with the product. All random decisions come
from the seed, one generator per thread.
"""

import hashlib
import json
import os
import queue
import random
import shutil
import signal
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleet import Broker, Ear, Hub, Relay, Spawner, wait_until
from history import History
from mqtt5 import Client, Closed, Timeout

CONTROL = "$CONTROL/keyturn/v1"
ROTATE_EVERY_S, UNFINISHED_S = 10.0, 30.0
BROKER_LIFE_S = 30.0
SETTLE_S = 240
# Short, but not so short that a machine that is busy with other things hears nothing but repeats.
HUB_LINES = ["backoff_min = 1s", "backoff_max = 5s", "repeat_first = 3s", "repeat_max = 10s", "trial_timeout = 15s",
             "silence_min = 20s", "connect_timeout = 15s", "keep_alive = 20s", "hook_retry = 1s"]


class Operator:
    """Commands over the local socket. What was asked and answered is in the history before and after."""

    def __init__(self, soak, name):
        self.soak, self.name, self.client, self.count, self.used_at = soak, name, None, 0, 0.0

    def ask(self, *commands):
        """The responses in order; None where the connection was lost (then nothing is known)."""
        ids = [self.soak.history.new_id() for _ in commands]
        for number, command in zip(ids, commands):
            self.soak.history.add("operator", "ask", id=number, **command)
        try:
            responses = self._exchange([dict(command, correlationData=str(number))
                                        for number, command in zip(ids, commands)])
        except (Closed, Timeout, OSError) as error:
            self._drop()
            for number in ids:
                self.soak.history.add("operator", "lost", id=number, why=str(error))
            return None
        for number, command, response in zip(ids, commands, responses):
            secret = command["command"] == "createTicket"
            self.soak.history.add("operator", "answer", id=number, error=response.get("error"),
                                  data=None if secret else response.get("data"))
        return responses

    def must(self, *commands):
        responses = self.ask(*commands)
        if responses is None or any("error" in r for r in responses):
            raise RuntimeError(f"{commands[0]}: {responses}")
        return [r.get("data", {}) for r in responses]

    def _exchange(self, commands):
        if time.monotonic() - self.used_at > 30:
            self._drop()  # the keep alive is 60 s, and nobody sends pings
        if self.client is None:
            client = Client(timeout=15)
            client.unix(self.soak.socket)
            self.count += 1
            client.connect(f"op:{self.name}-{self.count}")
            self.client = client
        self.client.publish(CONTROL, json.dumps({"commands": commands}))
        while True:
            _, text = self.client.message()
            responses = json.loads(text)["responses"]
            self.used_at = time.monotonic()
            if responses and responses[0].get("correlationData") == commands[0]["correlationData"]:
                return responses

    def _drop(self):
        if self.client is not None:
            self.client.close()
        self.client = None


class Copy:
    """A key that was copied from a hub's directory while it was current."""

    def __init__(self, soak, hub, number):
        source = f"{hub.state}/current/identity.pem"
        self.device, self.number = hub.name, number
        self.path = f"{soak.tmp}/copies/{hub.name}-{number}.pem"
        shutil.copyfile(source, self.path)
        os.chmod(self.path, 0o600)
        self.fp = fingerprint(self.path)
        self.commits = hub.commits
        self.session = self.context = None  # of a connection that was let in, to be resumed


def fingerprint(path):
    with open(path, "rb") as file:
        leaf = x509.load_pem_x509_certificate(file.read())
    return hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest()


class Soak:
    def __init__(self, minutes, seed, hubs):
        self.tmp, self.build = os.environ["KT_TMP"], os.environ["KT_BUILD"]
        self.port, self.claim_port = int(os.environ["PORT"]), int(os.environ["CLAIM_PORT"])
        self.root, self.socket = self.tmp + "/pki/root.pem", self.tmp + "/op.sock"
        self.minutes, self.seed = minutes, seed
        self.history = History(self.tmp + "/history.jsonl")
        self.spawner, self.ear = Spawner(), Ear()
        self.broker = Broker(self)
        self.hubs = [Hub(self, f"hub-{n:03}", is_lossy=n % 4 == 0) for n in range(hubs)]
        self.clones = []
        self.copies, self.revoked_copies = [], []
        self.over = threading.Event()
        self.died = queue.SimpleQueue()
        self.failure = None

    def rng(self, name):
        return random.Random(f"{self.seed}/{name}")

    # --- the beginning

    def enrol(self):
        """All hubs by ticket, each through another address; returns when all are in session."""
        relay = Relay(self.claim_port)
        relay.start()
        operator = Operator(self, "enrol")
        os.mkdir(self.tmp + "/hubs")
        os.mkdir(self.tmp + "/copies")
        for start in range(0, len(self.hubs), 50):
            some = self.hubs[start:start + 50]
            operator.must(*[{"command": "createDevice", "device": hub.name} for hub in some])
            tickets = operator.must(*[{"command": "createTicket", "device": hub.name,
                                       "broker": f"localhost:{relay.port}"} for hub in some])
            for hub, ticket in zip(some, tickets):
                hooks = ["hook = /bin/true"] if hub.name.endswith("5") else []
                hub.configure([f"broker = localhost:{self.port}", f"ticket_file = {hub.dir}/ticket"] + HUB_LINES + hooks)
                with open(os.open(hub.dir + "/ticket", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                    file.write(ticket["ticket"] + "\n")
            for hub in some:
                hub.start()
            if not wait_until(lambda: all(hub.is_in_session for hub in some), 120):
                raise RuntimeError("not all hubs enrol: " + " ".join(h.name for h in some if not h.is_in_session))
        relay.close()

    # --- what goes on, a thread each

    def pause(self, seconds):
        """False at the end of the faults."""
        return not self.over.wait(seconds)

    def free_hubs(self):
        return [hub for hub in self.hubs if not hub.is_out]

    def uncloned_hubs(self):
        cloned = {clone.name for clone in self.clones}
        return [hub for hub in self.free_hubs() if hub.name not in cloned]

    def orders(self):
        """
        Every hub is told to rotate every ten seconds, if it has done so since the last order; else, and now and
        then in any case, a newer order takes the place of an unfinished one. (On a machine that is too slow for
        the fleet there would be nothing but orders otherwise.)
        """
        rng, operator = self.rng("orders"), Operator(self, "orders")
        for hub in self.hubs:
            hub.ordered_at = time.monotonic() - rng.uniform(0, ROTATE_EVERY_S)
        while self.pause(0.5):
            now = time.monotonic()
            cloned = {clone.name for clone in self.clones}
            due = [hub for hub in self.free_hubs() if now - hub.ordered_at >= ROTATE_EVERY_S and (
                hub.commits > hub.ordered_commits or now - hub.ordered_at >= UNFINISHED_S or hub.name in cloned
                or rng.random() < 0.01)][:90]
            if not due:
                continue
            for hub in due:
                hub.ordered_at, hub.ordered_commits = now + rng.uniform(-1, 1), hub.commits
                if rng.random() < 0.1:
                    self.copy_key(hub, self.copies)
            self.broker.running.wait(30)
            operator.ask(*[{"command": "rotate", "device": hub.name} for hub in due])

    def copy_key(self, hub, into):
        try:
            into.append(Copy(self, hub, self.history.new_id()))
        except (OSError, ValueError):
            pass  # in the middle of a change: another time

    def operators(self):
        """Cancels, quarantines, releases and challenges, at random."""
        rng, operator, held = self.rng("operators"), Operator(self, "operators"), []
        while self.pause(rng.uniform(0.5, 2)):
            hub = rng.choice(self.free_hubs())
            what = rng.choice(["cancel", "quarantine", "challenge", "rotate+cancel", "twice"])
            if what == "rotate+cancel":
                operator.ask({"command": "rotate", "device": hub.name})
                self.pause(rng.uniform(0, 0.5))
                what = "cancel"
            if what == "twice":
                operator.ask({"command": "rotate", "device": hub.name}, {"command": "rotate", "device": hub.name})
                continue
            if what == "quarantine":
                held.append(hub)
            operator.ask({"command": what, "device": hub.name})
            if held and rng.random() < 0.4:
                operator.ask({"command": "release", "device": held.pop(0).name})

    def revokes(self, count):
        rng, operator = self.rng("revokes"), Operator(self, "revokes")
        for hub in rng.sample(self.hubs, count):
            if not self.pause(self.minutes * 60 / (count + 2) * rng.uniform(0.8, 1.1)):
                return
            if hub not in self.uncloned_hubs():
                continue
            known = len(self.revoked_copies)
            self.copy_key(hub, self.revoked_copies)
            inside = [(self.enter(copy, f"{hub.name}:site", rng), copy) for copy in self.revoked_copies[known:]]
            hub.is_out = True
            command = {"command": "revoke", "device": hub.name}
            command.update(rng.choice([{}, {"emergency": True}, {"wipe": True}]))
            while operator.ask(command) is None:
                self.broker.running.wait(60)
                time.sleep(0.2)
            for client, copy in inside:
                if client is not None:
                    self.publish(client, copy)
            self.pause(4)  # its agent goes on trying for a while
            with hub.lock:
                hub.kill()

    def kills(self):
        """A hub each second; every tenth loses what it had not synced, in the middle of a rotation if possible."""
        rng, count = self.rng("kills"), 0
        while self.pause(1):
            count += 1
            some = self.uncloned_hubs()
            if count % 10 == 0:
                some = [hub for hub in some if hub.is_lossy]
                some.sort(key=lambda hub: -hub.ordered_at)
                some = some[:3]
            hub = rng.choice(some)
            with hub.lock:
                if hub.is_out or not hub.is_running():
                    continue
                if count % 10 == 0:
                    hub.cut_power(rng)
                else:
                    hub.kill()
                self.pause(rng.uniform(0, 0.3))
                hub.start()

    def broker_kills(self):
        """kill -9 about every 30 s; beside the ledger, which stays, the index is lost once and once an old one."""
        rng, count, life_s = self.rng("broker"), 0, min(BROKER_LIFE_S, self.minutes * 60 / 4)
        index, old = self.tmp + "/state", self.tmp + "/index.old"
        while self.pause(life_s * rng.uniform(0.8, 1.1)):
            count += 1
            if count == 4 and not self.pause(self.minutes * 60 / 6):  # one long life, to see what it gathers
                return
            self.broker.kill()
            files = [name for name in os.listdir(index) if name.startswith("index")]
            if count == 1:
                os.mkdir(old)
                for name in files:
                    shutil.copy2(f"{index}/{name}", f"{old}/{name}")
            elif count in (2, 3):
                for name in files:
                    os.unlink(f"{index}/{name}")
                self.history.add("driver", "index.removed" if count == 2 else "index.restored")
                for name in os.listdir(old) if count == 3 else ():
                    shutil.copy2(f"{old}/{name}", f"{index}/{name}")
            self.broker.start()

    def clone_hubs(self, count):
        """A copy of a hub runs beside it, until a rotation has had time to separate the two."""
        rng = self.rng("clones")
        life_s = min(40.0, self.minutes * 60 / 3)
        threads = []
        for number in range(count):
            if number > 0 and not self.pause((self.minutes * 60 - life_s - 10) / count):
                break
            thread = threading.Thread(target=self.guard(self.one_clone), args=(rng, life_s))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def copy_hub(self, rng):
        """A hub at rest (a copy of the key that is being rolled over to would go along with it), and its copy."""
        some = self.uncloned_hubs()
        for hub in rng.sample(some, len(some)):
            with hub.lock:
                is_calm = hub.commits > hub.ordered_commits and time.monotonic() - hub.ordered_at < 9
                if not hub.is_in_session or not is_calm:
                    continue
                clone = Hub(self, hub.name, "clone")
                clone.configure([f"broker = localhost:{self.port}"] + HUB_LINES)
                try:
                    hub.copy_to(clone)
                except (OSError, shutil.Error):
                    shutil.rmtree(clone.dir)
                    continue
                self.clones.append(clone)
                return hub, clone
        return None, None

    def one_clone(self, rng, life_s):
        hub, clone = self.copy_hub(rng)
        while hub is None and self.pause(0.5):
            hub, clone = self.copy_hub(rng)
        if hub is None:
            return
        clone.start()
        if rng.random() < 0.7:  # the original is off for a while, so that the copy is the one that rotates
            with hub.lock:
                hub.kill()
            self.pause(25)
            with hub.lock:
                hub.start()
        self.pause(life_s)
        clone.kill()
        if not wait_until(lambda: hub.is_in_session, 10):
            hub.is_out = True  # the copy was faster: the limit of what can be promised
            with hub.lock:
                hub.kill()

    def probes(self):
        """Connects with copied keys: superseded, revoked, and current ones."""
        rng = self.rng("probes")
        while self.pause(rng.uniform(0.2, 0.6)):
            what = rng.choice(["old", "revoked", "current"])
            if what == "current":
                hub = rng.choice(self.free_hubs())
                fresh = []
                self.copy_key(hub, fresh)
                if fresh and self.probe(fresh[0], hub.name + ":probe", rng) and len(self.copies) < 300:
                    self.copies.append(fresh[0])
                continue
            commits = {hub.name: hub.commits for hub in self.hubs}
            some = self.revoked_copies if what == "revoked" else [
                copy for copy in self.copies if copy.commits < commits[copy.device]]
            if rng.random() < 0.5:
                some = [copy for copy in some if copy.session is not None] or some
            if some:
                copy = rng.choice(some)
                self.probe(copy, copy.device + rng.choice(["", ":agent", ":trial", ":probe"]), rng)

    def probe(self, copy, client_id, rng):
        """One connect; True if it was let in."""
        client = self.enter(copy, client_id, rng)
        if client is not None:
            client.disconnect()
        return client is not None

    def enter(self, copy, client_id, rng):
        """A session, or None. Half of those who were in before try to resume that TLS session."""
        number, client, code, why = self.history.new_id(), Client(timeout=10), None, ""
        resumes = copy.session is not None and rng.random() < 0.5
        self.history.add("prober", "try", id=number, client=client_id, device=copy.device, fp=copy.fp, resumes=resumes)
        try:
            if resumes:
                client.tls(self.port, self.root, session=copy.session, context=copy.context)
            else:
                client.tls(self.port, self.root, copy.path)
            code = client.connect(client_id)
            if code == 0:
                copy.session, copy.context = client.sock.session, client.context
        except (Closed, Timeout, OSError, ValueError) as error:
            why = str(error)
        was_resumed = bool(client.sock is not None and getattr(client.sock, "session_reused", False))
        self.history.add("prober", "verdict", id=number, code=code, why=why, resumed=was_resumed)
        if code == 0:
            return client
        client.close()
        return None

    def sites(self):
        """Programs of hubs that hold their session with the key of the moment, and publish now and then."""
        rng, inside = self.rng("sites"), []
        while self.pause(rng.uniform(0.05, 0.15)):
            if not inside or len(inside) < 25 and rng.random() < 0.3:
                fresh = []
                self.copy_key(rng.choice(self.free_hubs()), fresh)
                for copy in fresh:
                    client = self.enter(copy, f"{copy.device}:site{copy.number}", rng)
                    inside += [(client, copy)] if client is not None else []
            elif not self.publish(*inside[0]):
                inside.pop(0)
            else:
                inside.append(inside.pop(0))
        for client, _ in inside:
            client.close()

    def publish(self, client, copy):
        """One message on the hub's own topic; False when the session is over."""
        number, code = self.history.new_id(), None
        self.history.add("site", "try", id=number, device=copy.device, fp=copy.fp)
        try:
            code = client.publish(f"devices/{copy.device}/state", "x")
        except (Closed, Timeout, OSError, AttributeError):
            client.close()
        self.history.add("site", "verdict", id=number, code=code)
        return code is not None

    def watchdog(self):
        """Starts again whatever ended by itself, as systemd would."""
        while self.pause(0.2):
            while not self.died.empty():
                program = self.died.get()
                with program.lock:
                    if not program.is_out and not program.is_running():
                        program.start()

    def meter(self):
        """Memory and descriptors of the broker."""
        page = os.sysconf("SC_PAGESIZE")
        while self.pause(1):
            process = self.broker.process
            try:
                with open(f"/proc/{process.pid}/statm") as statm:
                    rss = int(statm.read().split()[1]) * page // 1024
                self.history.add("meter", "broker", run=self.broker.runs, rss_kib=rss,
                                 fds=len(os.listdir(f"/proc/{process.pid}/fd")))
            except (OSError, AttributeError, IndexError):
                pass  # it is dead just now

    # --- the whole

    def guard(self, work):
        """A thread that breaks ends the soak: half of the faults would be a test of nothing."""
        def run(*args):
            try:
                work(*args)
            except Exception as error:  # pylint: disable=broad-except
                self.failure = self.failure or f"{work.__name__}: {type(error).__name__}: {error}"
                self.over.set()
        return run

    def run(self):
        self.ear.start()
        self.broker.start()
        self.enrol()
        print(f"# {len(self.hubs)} hubs in session", flush=True)
        self.history.add("driver", "faults.begin", superseded_drain_s=int(os.environ["KT_SOAK_DRAIN_S"]))
        revoked = max(5, min(20, round(self.minutes * 20 / 30)))
        work = [(self.orders,), (self.operators,), (self.kills,), (self.broker_kills,), (self.probes,), (self.sites,), (self.meter,),
                (self.watchdog,),
                (self.revokes, revoked), (self.clone_hubs, 5)]
        threads = [threading.Thread(target=self.guard(one[0]), args=one[1:]) for one in work]
        for thread in threads:
            thread.start()
        self.over.wait(self.minutes * 60)
        self.over.set()
        for thread in threads:
            thread.join()
        self.history.add("driver", "faults.end")
        print("# the faults are over", flush=True)
        if self.failure is not None:
            raise RuntimeError(self.failure)
        self.settle()

    def settle(self):
        """The last order, without faults; what is then, whatever it is, goes into the history."""
        operator = Operator(self, "settle")
        good = self.uncloned_hubs()
        rows = {row["device"]: row for row in self.registry(operator)}
        for name in [n for n, row in rows.items() if row["quarantined"]]:
            operator.ask({"command": "release", "device": name})
        wait_until(lambda: all(hub.is_in_session for hub in good), SETTLE_S)
        for start in range(0, len(good), 50):
            operator.must(*[{"command": "rotate", "device": hub.name} for hub in good[start:start + 50]])

        def is_settled():
            time.sleep(1)
            now = {row["device"]: row for row in self.registry(operator)}
            return all(now[hub.name]["phase"] == "idle" and now[hub.name]["online"] for hub in good)

        wait_until(is_settled, SETTLE_S)
        time.sleep(2)  # promoted and noted
        for hub in self.hubs:
            certificate = hub.state + "/current/identity.pem"
            self.history.add("final", "hub", device=hub.name, running=hub.is_running(), status=hub.status(),
                             cert_fp=fingerprint(certificate) if os.path.exists(certificate) else None)
        for start in range(0, len(self.hubs), 50):
            some = self.hubs[start:start + 50]
            for hub, shown in zip(some, operator.must(*[{"command": "getDevice", "device": h.name} for h in some])):
                self.history.add("final", "registry", **dict(shown, device=hub.name))

    def registry(self, operator):
        rows, total = [], 1
        while len(rows) < total:
            page = operator.must({"command": "listDevices", "offset": len(rows), "count": 200})[0]
            total = page["total"]
            rows += page["devices"]
        return rows

    def end(self):
        self.over.set()
        for program in self.clones + self.hubs:
            if program.is_running():
                program.end(True)
        if self.broker.is_running():
            code = self.broker.stop()
            self.history.add("driver", "broker.ended", code=code)
        self.history.close()


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    soak = Soak(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    try:
        soak.run()
    finally:
        soak.end()


main()
