"""Where the crash tests play: a broker with the plugin and real hubs, each of which can be ended at its n-th call.

A Place is one directory with configurations, ports, the broker's log and its two directories under world/; a Hub is
one directory with an agent. Many can run side by side over one PKI. Processes end with the process that made them.
"""

import ctypes
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

from mqtt5 import Closed, Timeout
from scene import NOT_AUTHORIZED, Scene

TD = "crash.example"
BUILD = os.environ["KT_BUILD"]
PKI = os.environ["KT_PKI_DIR"]
AGENT = BUILD + "/keyturn-agent"
KINDS = ["open", "close", "write", "truncate", "sync", "rename", "link", "symlink", "unlink", "mkdir", "rmdir",
         "chmod", "chown", "send", "tls", "start"]  # crash_shim.c: enum kind
WAIT_S = 150  # for what has to come by itself, also on a machine that is busy otherwise; a bound, not a measure
_LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """Something that must hold does not."""


def need(is_good, sentence):
    if not is_good:
        raise Failed(sentence)


def wait_until(what, condition, seconds=WAIT_S, log=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s\n{log()}")
        time.sleep(0.01)


def _die_with_parent():
    _LIBC.prctl(1, signal.SIGKILL)


def _free_port():
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Shim:
    """The page that counts, and the environment that makes a program use it."""

    def __init__(self, path):
        self.path = path

    def env(self, at=0, how="kill", log=None, slow_ms=0):
        with open(self.path, "wb") as page:
            page.write(bytes(4096))
        env = dict(os.environ, LD_PRELOAD=BUILD + "/tests/crash_shim.so", KT_CRASH_PAGE=self.path,
                   KT_CRASH_AT=str(at), KT_CRASH_HOW=how, KT_CRASH_SLOW=str(slow_ms))
        if log is not None:
            env["KT_CRASH_LOG"] = log
        return env

    def count(self):
        with open(self.path, "rb") as page, mmap.mmap(page.fileno(), 4096, prot=mmap.PROT_READ) as memory:
            return struct.unpack_from("<Q", memory, 0)[0]

    def switch_off(self):
        """What comes now is neither counted nor hit."""
        with open(self.path, "r+b") as page, mmap.mmap(page.fileno(), 4096) as memory:
            struct.pack_into("<Q", memory, 16, 1)

    def hit(self):
        """What was hit: a name of KINDS, or None."""
        with open(self.path, "rb") as page, mmap.mmap(page.fileno(), 4096, prot=mmap.PROT_READ) as memory:
            kind = struct.unpack_from("<Q", memory, 8)[0]
        return KINDS[kind - 1] if kind else None


class Process:
    """A child whose output is appended to a log."""

    def __init__(self, arguments, log, env=None):
        with open(log, "ab") as out:
            self.child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                                          preexec_fn=_die_with_parent)

    def is_running(self):
        return self.child.poll() is None

    def wait(self, seconds=WAIT_S):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise Failed("a process does not end") from None

    def stop(self):
        if self.is_running():
            self.child.terminate()
        return self.wait()

    def kill(self):
        self.child.kill()
        return self.wait()


class Place(Scene):
    """A broker's directory. The operator's commands and the bare clients are Scene's."""

    def __init__(self, path, ports=None):
        os.makedirs(path + "/world", mode=0o700, exist_ok=True)
        self.tmp, self.td, self.root = path, TD, PKI + "/root.pem"
        self.port, self.claim_port = ports or (_free_port(), _free_port())
        self.plain_port = 0
        self.socket, self.log = path + "/op.sock", path + "/broker.log"
        self.passed = self.failed = self.sources = 0
        self.shim = Shim(path + "/broker.page")
        self.broker = None
        self._write()

    def _write(self):
        lines = [
            f"trust_domain = {TD}", f"state_dir = {self.tmp}/world/state", f"ledger_dir = {self.tmp}/world/ledger",
            f"root_cert = {self.root}", f"issuer_cert = {PKI}/issuing.pem", f"issuer_key = {PKI}/issuing.key",
            f"controller_cert = {PKI}/controller-1.pem", f"controller_key = {PKI}/controller-1.key",
            f"broker_address = localhost:{self.claim_port}", f"operator = unix:{self.socket} admin",
            "enroll_retry = 1s", "superseded_drain = 0s", "acl = readwrite devices/%d/#"]
        with open(os.open(self.tmp + "/keyturn.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as conf:
            conf.write("\n".join(lines) + "\n")
        lines = [
            "per_listener_settings false", "allow_anonymous false", "persistence false", "log_dest stderr",
            "log_type all", "max_packet_size 262144", "set_tcp_nodelay true", "check_retain_source true",
            "sys_interval 0", f"plugin {BUILD}/mosquitto_keyturn.so", f"plugin_opt_config {self.tmp}/keyturn.conf",
            f"listener {self.port} 127.0.0.1", f"cafile {PKI}/clients.pem", f"certfile {PKI}/broker.pem",
            f"keyfile {PKI}/broker.key", "require_certificate true", "tls_version tlsv1.2",
            f"listener {self.claim_port} 127.0.0.1", f"certfile {PKI}/broker.pem", f"keyfile {PKI}/broker.key",
            "tls_version tlsv1.2", f"listener 0 {self.socket}"]
        if os.geteuid() == 0:
            lines.insert(0, "user root")
        with open(self.tmp + "/mosquitto.conf", "w") as conf:
            conf.write("\n".join(lines) + "\n")

    # --- the broker

    def launch(self, env=None):
        """Starts it without waiting; returns where its log begins."""
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.broker = Process([os.environ.get("KT_BROKER", "mosquitto"), "-c", self.tmp + "/mosquitto.conf"], self.log,
                              env)
        return begin

    def is_serving(self, begin):
        log = self.log_from(begin)
        return "event=plugin.started" in log and " running\n" in log

    def start(self, env=None):
        """Returns when it serves; the seconds that took. Failed: it ended instead."""
        began = time.monotonic()
        begin = self.launch(env)
        wait_until("the broker's start", lambda: self.is_serving(begin) or not self.broker.is_running())
        need(self.broker.is_running(), "the broker does not start: " + self.log_from(begin)[-600:])
        return time.monotonic() - began

    # --- the operator

    def ask(self, name, **fields):
        """One command; its data. Failed if it is refused; Closed, Timeout or OSError if nobody answers."""
        response = self.operator(dict(command=name, **fields))[0]
        if "error" in response:
            raise Failed(f"{name}: {response}")
        return response.get("data", {})

    def code_as(self, client_id, pem):
        """The CONNACK of who comes with this certificate and its key; "closed" without one."""
        return self.connect_code(client_id, pem)

    def is_refused(self, client_id, pem):
        """By name: a broker that is not there refuses nobody."""
        return self.code_as(client_id, pem) == NOT_AUTHORIZED


class Hub:
    """A real agent over DIRECTORY/state."""

    def __init__(self, place, name):
        self.place, self.name = place, name
        self.dir = f"{place.tmp}/{name}"
        self.state = self.dir + "/world/state"
        self.log = self.dir + "/agent.log"
        os.makedirs(self.dir + "/world", mode=0o700, exist_ok=True)
        self.shim = Shim(self.dir + "/agent.page")
        self.agent = None
        lines = [f"broker = localhost:{place.port}", f"state_dir = {self.state}", "backoff_min = 1s", "backoff_max = 1s",
                 "repeat_first = 1s", "repeat_max = 2s", "hook_retry = 1s", "silence_min = 5s", "trial_timeout = 15s",
                 "connect_timeout = 15s"]
        with open(os.open(self.dir + "/agent.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as conf:
            conf.write("\n".join(lines) + "\n")

    def save_ticket(self, text):
        with open(os.open(self.dir + "/ticket", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as ticket:
            ticket.write(text + "\n")

    def enroll(self, env=None):
        """`keyturn-agent enroll` with the ticket, in the background."""
        self.agent = Process([AGENT, "enroll", "-c", self.dir + "/agent.conf", "--ticket-file", self.dir + "/ticket",
                              "--wait", str(WAIT_S)], self.log, env)

    def enrolled(self):
        """By a fresh ticket, to the end."""
        self.place.ask("createDevice", device=self.name)
        self.save_ticket(self.place.ask("createTicket", device=self.name)["ticket"])
        self.enroll()
        need(self.agent.wait() == 0, "it does not enrol: " + self.last_lines())
        return self

    def last_lines(self):
        """Of the agent's log, for who has to find out."""
        with open(self.log, errors="replace") as lines:
            return "".join(lines.readlines()[-12:])

    def run(self, env=None):
        self.agent = Process([AGENT, "run", "-c", self.dir + "/agent.conf"], self.log, env)

    # --- what lies there

    def record(self):
        """The newer valid copy of the record, as JSON; {} without one."""
        best = {}
        for name in ("record.0", "record.1"):
            try:
                lines = open(f"{self.state}/{name}", "rb").read().split(b"\n")
            except FileNotFoundError:
                continue
            if len(lines) > 2 and hashlib.sha256(lines[0]).hexdigest() == lines[1].strip().decode(errors="replace"):
                record = json.loads(lines[0])
                if int(record["seq"]) > int(best.get("seq", "0")):
                    best = record
        return best

    def is_in_session(self):
        """By the agent that runs now."""
        try:
            with open(self.state + "/status") as text:
                status = json.load(text)
        except (OSError, ValueError):
            return False
        return status["pid"] == self.agent.child.pid and status["health"] == "in_session"

    def is_done(self, op):
        """The rotation `op`, or a newer one, to its end: nothing is left to do."""
        record = self.record()
        return (record.get("phase") == "stable" and record.get("step") == "none" and
                int(record.get("active", {}).get("op", "0")) >= int(op))

    def identity(self):
        return self.state + "/current/identity.pem"

    def keep_identity(self, name="old.pem"):
        """A copy as a thief has it; its path."""
        path = f"{self.dir}/{name}"
        shutil.copyfile(self.identity(), path)
        os.chmod(path, 0o600)
        return path

    def need_clean(self):
        """Nothing lies there but what the record names."""
        record = self.record()
        want = {"record.0", "record.1", "lock", "root.pem", "status", "current", "identity"}
        need(set(os.listdir(self.state)) <= want, f"in the state directory: {os.listdir(self.state)}")
        dirs = os.listdir(self.state + "/identity")
        need(dirs == [record["active"]["dir"]], f"credentials {dirs}, the record names {record['active']['dir']}")
        files = set(os.listdir(f"{self.state}/identity/{dirs[0]}"))
        need(files == {"key.pem", "cert.pem", "chain.pem", "identity.pem"}, f"files of the credential: {files}")
        need(os.readlink(self.state + "/current") == "identity/" + dirs[0], "the link is another")

    def need_working(self, device):
        """Server and hub agree on one credential, and the hub is in session with it. device: getDevice's answer."""
        record = self.record()
        need((device["phase"], device["state"], device["frozen"]) == ("idle", "active", False),
             f"the server's view: {device}")
        need(device["current"]["fp"] == record["active"]["fp"],
             f"the server holds {device['current']['fp']} current, the hub {record['active']['fp']}")
        need(device.get("promotedOp") == device.get("committedOp") == record["active"]["op"],
             f"promoted {device.get('promotedOp')}, committed {device.get('committedOp')}, the hub's {record['active']['op']}")


__all__ = ["AGENT", "BUILD", "Closed", "Failed", "Hub", "KINDS", "PKI", "Place", "Process", "Shim", "TD", "Timeout",
           "WAIT_S", "need", "wait_until"]
