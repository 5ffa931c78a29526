"""What the benchmarks in Python share: brokers, what the kernel says of a process, checks, targets.

A benchmark is started by play.sh, which made the PKI. Its story goes to stdout; the document and the counts
go into files. What a check is about is told in words; figures stand behind it.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DYING = ["setpriv", "--pdeathsig", "KILL"]  # nothing outlives the benchmark
LOG = ("log_type error", "log_type warning", "log_type notice", "log_type information")


class Failed(Exception):
    """The benchmark cannot go on."""


# --- figures


def median(values):
    return statistics.median(values) if values else 0


def paired(figures, name, base):
    """The middle one of name's ratios to base, of the same round each."""
    return median([a / b for a, b in zip(figures[name], figures[base]) if b])


# --- processes


def read_text(path):
    with open(path, errors="replace") as file:
        return file.read()


def threads(pid):
    """The ids of its threads, the main one first."""
    return sorted((int(name) for name in os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))


def thread_ns(pid, tid):
    """The processor's time of one thread; of one that has ended, none."""
    try:
        return int(read_text(f"/proc/{pid}/task/{tid}/schedstat").split()[0])
    except (OSError, IndexError):
        return 0


def cpu_ns(pid):
    return sum(thread_ns(pid, tid) for tid in threads(pid))


def fields_kib(path, *names):
    """Of a file like status or smaps_rollup: the figures of these lines."""
    found = {}
    for line in read_text(path).splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            found[name] = int(rest.split()[0])
    return [found.get(name, 0) for name in names]


def wakes(pid):
    """Voluntary switches of each thread: how often it waited, so how often it was woken."""
    counts = {}
    for tid in threads(pid):
        for line in read_text(f"/proc/{pid}/task/{tid}/status").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                counts[tid] = int(line.split()[1])
    return counts


def is_listening(port):
    """Somebody listens on this port of IPv4; only the kernel's table is read."""
    wanted = f":{port:04X}"
    for line in read_text("/proc/net/tcp").splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and words[1].endswith(wanted):
            return True
    return False


def free_port():
    """Below the range of outgoing connections, as that of lib.sh."""
    for _ in range(200):
        port = random.randrange(10000, 32000)
        if not is_listening(port):
            return port
    raise Failed("no free port")


def wait_for(look, seconds, what):
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s for: {what}")
        time.sleep(0.02)


def size_of(path):
    return sum(file.stat().st_size for file in pathlib.Path(path).rglob("*") if file.is_file())


# --- what is measured at


class Broker:
    """A mosquitto over a directory of its own. plugin: over the fleet of that directory."""

    def __init__(self, bench, name, lines=(), plugin=False, keyturn=(), anonymous=False, nodelay=True, socket=False,
                 fleet=None, listener=(), address="127.0.0.1", environment=None):
        self.bench, self.name, self.port = bench, name, free_port()
        self.address = address
        self.dir = pathlib.Path(bench.top, name)
        self.dir.mkdir(mode=0o700, exist_ok=True)
        self.fleet = pathlib.Path(fleet or self.dir)
        self.socket = f"{self.dir}/op.sock" if socket else None
        self.environment = dict(os.environ, **(environment or {}))
        self.process, self.began, self.log = None, 0, self.dir / "broker.log"
        lines = list(lines)
        if plugin:
            self.write_keyturn(keyturn)
            lines[:0] = [f"plugin {bench.build}/mosquitto_keyturn.so", f"plugin_opt_config {self.dir}/keyturn.conf"]
        self.write(lines, anonymous, nodelay, listener)

    def write(self, lines, anonymous, nodelay, listener):
        pki = f"{self.bench.top}/pki"
        text = ["per_listener_settings false", f"allow_anonymous {'true' if anonymous else 'false'}",
                "persistence false", "sys_interval 0", "log_dest stderr", *LOG]
        text += ["set_tcp_nodelay true"] if nodelay else []
        text += ["max_packet_size 262144", "check_retain_source true"]
        text += ["user root"] if os.geteuid() == 0 else []
        text += lines
        text += [f"listener {self.port} {self.address}", f"cafile {pki}/clients.pem", f"certfile {pki}/broker.pem",
                 f"keyfile {pki}/broker.key", "require_certificate true", *listener]
        text += [f"listener 0 {self.socket}"] if self.socket else []
        (self.dir / "mosquitto.conf").write_text("\n".join(text) + "\n")

    def write_keyturn(self, keyturn):
        pki = f"{self.bench.top}/pki"
        path = self.dir / "keyturn.conf"
        path.write_text("\n".join([
            "trust_domain = bench.test", f"state_dir = {self.fleet}/state", f"ledger_dir = {self.fleet}/ledger",
            f"root_cert = {pki}/root.pem", f"issuer_cert = {pki}/issuing.pem", f"issuer_key = {pki}/issuing.key",
            f"controller_cert = {pki}/controller-1.pem", f"controller_key = {pki}/controller-1.key",
            f"operator = unix:{self.dir}/op.sock admin", *keyturn]) + "\n")
        path.chmod(0o600)

    def start(self, *before, wait=True):
        """before: what stands in front of the broker's command line. began: the moment of the start."""
        pathlib.Path(f"{self.dir}/op.sock").unlink(missing_ok=True)
        self.began = time.time()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*DYING, *before, self.bench.broker, "-c", f"{self.dir}/mosquitto.conf"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        if wait:
            self.wait_up()

    def is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name}: the broker does not start: {read_text(self.log)[-800:]}")
        return " running" in read_text(self.log)

    def wait_up(self):
        wait_for(self.is_up, self.bench.patience, f"{self.name} running")
        if self.socket:
            wait_for(lambda: os.path.exists(self.socket), 60, f"{self.name}: a socket for operators")

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """True: it ended as it should."""
        if self.process is None:
            return True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.bench.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        self.log.rename(self.log.with_suffix(".last"))
        return code == 0

    def has_line(self, text):
        """In the log of this start, or of the last one."""
        path = self.log if self.log.exists() else self.log.with_suffix(".last")
        return text in read_text(path)

    def ctl(self, *words):
        """keyturnctl --json over its socket."""
        return json.loads(self.bench.run([f"{self.bench.build}/keyturnctl", "--unix", self.socket, "--json", *words]))


class Bench:
    """One run: its arguments, its checks, its document."""

    def __init__(self, name, **defaults):
        parser = argparse.ArgumentParser(prog=name)
        for option in ("top", "build", "broker"):
            parser.add_argument("--" + option, required=True)
        for option, default in defaults.items():
            kind = (lambda text: [int(part) for part in text.split(",")]) if isinstance(default, list) else type(default)
            parser.add_argument("--" + option.replace("_", "-"), type=kind, default=default)
        self.args = parser.parse_args()
        self.name, self.top, self.build, self.broker = name, self.args.top, self.args.build, self.args.broker
        self.passed = self.failed = 0
        self.document = {"benchmark": name}
        self.targets = []
        self.patience = 3600  # of a broker's start and end, under valgrind and with a million devices
        self.brokers = []

    # --- what is told

    def tell(self, text):
        print(text, flush=True)

    def check(self, what, good, detail=""):
        self.passed += bool(good)
        self.failed += not good
        self.tell(f"{'ok' if good else 'not ok'} {what}")
        if not good and detail != "":
            self.tell(f"    {detail}")
        return good

    def target(self, what, value, limit, form="{:.4g}"):
        """At most limit."""
        met = value <= limit
        self.targets.append({"what": what, "value": value, "limit": limit, "met": met})
        self.check(f"{what}: at most {form.format(limit)} ({form.format(value)})", met)

    def at_least(self, what, value, limit, form="{:.4g}"):
        met = value >= limit
        self.targets.append({"what": what, "value": value, "limit": limit, "at_least": True, "met": met})
        self.check(f"{what}: at least {form.format(limit)} ({form.format(value)})", met)

    # --- what is done

    def run(self, command, timeout=7200, **more):
        """Its output; it has to succeed."""
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, **more)
        if done.returncode != 0:
            raise Failed(f"{command[0]}: exit {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
        return done.stdout

    def program(self, name):
        return f"{self.build}/tests/{name}"

    def make_fleet(self, name, devices, real):
        """top/name with ledger and identities: the first ones have certificates."""
        place = pathlib.Path(self.top, name)
        (place / "identities").mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
        self.run([self.program("bench_fleet"), place / "ledger", "bench.test", f"{self.top}/pki/issuing.pem",
                  f"{self.top}/pki/issuing.key", place / "identities", devices, min(devices, real)])
        return place

    def add_broker(self, name, **more):
        self.brokers.append(Broker(self, name, **more))
        return self.brokers[-1]

    def stop_all(self):
        for broker in self.brokers:
            if broker.process is not None:
                self.check(f"{broker.name}: the broker ends as it should", broker.stop())

    def main(self, play):
        try:
            play()
            self.stop_all()
        except Failed as error:
            self.check(f"{self.name} came to its end", False, error)
        finally:
            for broker in self.brokers:
                if broker.process is not None:
                    broker.stop()
        self.document["targets"] = self.targets
        pathlib.Path(self.top, f"{self.name}.json").write_text(json.dumps(self.document) + "\n")
        pathlib.Path(self.top, f"{self.name}.counts").write_text(f"{self.passed} {self.failed}\n")


# --- what people would pick instead


def dynsec_plugin():
    found = sorted(pathlib.Path("/usr/lib").rglob("mosquitto_dynamic_security.so"))
    if not found:
        raise Failed("no mosquitto_dynamic_security.so")
    return found[0]


def write_dynsec(path, clients, real, password):
    """A file of dynamic-security: so many clients, bench-<i>; those who come without a name are admins."""
    import base64
    import hashlib
    generator = random.Random(4711)
    rows = []
    for i in range(clients):
        salt = generator.randbytes(12)
        word = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101) if i < real else generator.randbytes(64)
        rows.append({"username": f"bench-{i}", "password": base64.b64encode(word).decode(),
                     "salt": base64.b64encode(salt).decode(), "iterations": 101})
    acls = [{"acltype": kind, "topic": "$CONTROL/#", "priority": 0, "allow": True}
            for kind in ("publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern")]
    document = {"defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True, "subscribe": False,
                                     "unsubscribe": True},
                "clients": rows, "groups": [{"groupname": "admins", "roles": [{"rolename": "admin"}], "clients": []}],
                "roles": [{"rolename": "admin", "acls": acls}], "anonymousGroup": "admins"}
    path.write_text(json.dumps(document, indent="\t"))
    path.chmod(0o600)
