"""The processes of the soak: one broker, many hubs, copies of hubs; and one thread that hears what they log."""

import concurrent.futures
import fcntl
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time

from history import fields_of
from powercut import cut

PIPE_BYTES = 1 << 20
# Two cores for two hundred hubs: without it half of an agent's time goes into giving memory back and taking it.
AGENT_ENV = {"MALLOC_TOP_PAD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "16777216"}


class Spawner:
    """Starts processes from one thread that lives to the end: they die with their parent's thread."""

    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def start(self, command, env=None):
        return self.pool.submit(self._start, command, env or {}).result()

    def _start(self, command, env):
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + command, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, **env))
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return process


class Ear(threading.Thread):
    """Reads the standard error of all of them; each whole line goes to the source's hear()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ, None)
        self.fresh = []
        self.lock = threading.Lock()

    def listen(self, pipe, hear, gone):
        """gone() is called once, when nobody can write there any more."""
        os.set_blocking(pipe.fileno(), False)
        done = threading.Event()
        with self.lock:
            self.fresh.append((pipe, (hear, gone, done)))
        self.wake.send(b"x")
        return done

    def run(self):
        buffers = {}
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    self.woken.recv(64)
                    with self.lock:
                        fresh, self.fresh = self.fresh, []
                    for pipe, listener in fresh:
                        buffers[pipe] = b""
                        self.selector.register(pipe, selectors.EVENT_READ, listener)
                    continue
                hear, gone, done = key.data
                pipe = key.fileobj
                data = os.read(pipe.fileno(), 65536)
                lines = (buffers[pipe] + data).split(b"\n")
                buffers[pipe] = lines.pop()
                for line in lines:
                    hear(line.decode(errors="replace"))
                if not data:
                    self.selector.unregister(pipe)
                    del buffers[pipe]
                    pipe.close()
                    gone()
                    done.set()


class Program:
    """One process at a time; kill and wait until its last line was heard."""

    def __init__(self, soak):
        self.soak = soak
        self.process = None
        self.heard = None
        self.runs = 0
        self.is_ending = False

    def launch(self, command, hear, env=None):
        self.runs += 1
        self.is_ending = False
        self.process = self.soak.spawner.start(command, env)
        self.heard = self.soak.ear.listen(self.process.stderr, hear, lambda process=self.process: self.gone(process))

    def gone(self, process):
        """On the ear's thread: nobody told it to end."""
        if not self.is_ending:
            self.died(process.wait())

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, force):
        """SIGKILL, or SIGTERM first; the exit code."""
        if self.process is None:
            return None
        self.is_ending = True
        if not force:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                force = True
        if force:
            self.process.kill()
        code = self.process.wait()
        self.heard.wait(10)
        self.process = None
        return code


class Broker(Program):
    def __init__(self, soak):
        super().__init__(soak)
        self.log = open(soak.tmp + "/broker.log", "a")
        self.running = threading.Event()

    def start(self):
        if os.path.exists(self.soak.socket):
            os.unlink(self.soak.socket)
        self.soak.history.add("driver", "broker.start", run=self.runs + 1)
        self.launch([os.environ.get("KT_BROKER", "mosquitto"), "-c", self.soak.tmp + "/mosquitto.conf"], self.hear)
        if not self.running.wait(60):
            raise RuntimeError("the broker does not start, see broker.log")
        self.soak.history.add("driver", "broker.running", run=self.runs)

    def hear(self, line):
        self.log.write(line + "\n")
        self.log.flush()
        if line.endswith(" running"):
            self.running.set()
        fields = fields_of(line)
        if fields is not None:
            self.soak.history.add("broker", fields.pop("event"), run=self.runs, **fields)

    def kill(self):
        self.running.clear()
        self.soak.history.add("driver", "broker.kill", run=self.runs)
        self.end(True)
        self.soak.history.add("driver", "broker.dead", run=self.runs)

    def died(self, code):
        self.soak.history.add("driver", "broker.died", run=self.runs, code=code)

    def stop(self):
        self.running.clear()
        self.soak.history.add("driver", "broker.stop", run=self.runs)
        return self.end(False)


class Hub(Program):
    """A keyturn-agent with its state directory. instance: hub, or clone."""

    def __init__(self, soak, name, instance="hub", is_lossy=False):
        super().__init__(soak)
        self.name, self.instance, self.is_lossy = name, instance, is_lossy
        self.dir = f"{soak.tmp}/hubs/{name}" + ("" if instance == "hub" else ".clone")
        self.state = self.dir + "/state"
        self.conf = self.dir + "/agent.conf"
        self.lock = threading.RLock()
        self.is_in_session = False
        self.is_out = False     # revoked, or left to a clone: nobody touches it any more
        self.commits = 0
        self.ordered_commits = -1
        self.ordered_at = 0.0

    def configure(self, lines):
        os.makedirs(self.dir, 0o700)
        with open(self.conf, "w") as conf:
            conf.write(f"state_dir = {self.state}\n" + "".join(line + "\n" for line in lines))
        os.chmod(self.conf, 0o600)

    def start(self):
        env = dict(AGENT_ENV)
        if self.is_lossy:
            env.update({"LD_PRELOAD": self.soak.build + "/tests/soak_powercut.so", "KT_POWERCUT_ROOT": self.state,
                   "KT_POWERCUT_NOTE": self.dir + "/note"})
        self._tell("hub.start", run=self.runs + 1)
        self.launch([self.soak.build + "/keyturn-agent", "run", "-c", self.conf], self.hear, env)

    def hear(self, line):
        fields = fields_of(line)
        if fields is None:
            self._log("text", line=line)
            return
        event = fields.pop("event")
        fields.pop("device", None)
        self._log(event, run=self.runs, **fields)
        if event == "link.up" and fields.get("link") == "agent":
            self.is_in_session = True
        elif event.startswith("link.") and fields.get("link") == "agent":
            self.is_in_session = False
        elif event == "phase.changed" and fields.get("why") == "committed":
            self.commits += 1

    def kill(self):
        self._tell("hub.kill", run=self.runs)
        self.end(True)
        self.is_in_session = False

    def cut_power(self, rng):
        """Killed, and what it had not synced is lost, or is not."""
        self._tell("hub.kill", run=self.runs)
        self.end(True)
        self.is_in_session = False
        kept = cut(self.state, self.dir + "/note", rng)
        self._tell("hub.cut", keep_chance=kept)

    def died(self, code):
        """Then whoever watches over the hub starts it again."""
        self._tell("hub.died", run=self.runs, code=code)
        self.is_in_session = False
        self.soak.died.put(self)

    def copy_to(self, clone):
        shutil.copytree(self.state, clone.state, symlinks=True)

    def status(self):
        """What `status --json` says, as text; "" if it says nothing."""
        done = subprocess.run([self.soak.build + "/keyturn-agent", "status", "--json", "-c", self.conf],
                              capture_output=True, text=True, timeout=30)
        return done.stdout

    def _tell(self, event, **fields):
        self.soak.history.add("driver", event, device=self.name, instance=self.instance, **fields)

    def _log(self, event, **fields):
        self.soak.history.add("hub", event, device=self.name, instance=self.instance, **fields)


class Relay(threading.Thread):
    """Passes connections on to the broker, each from another address: who enrols is limited by address."""

    def __init__(self, target_port):
        super().__init__(daemon=True)
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.count = 0

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            source = f"127.0.{1 + self.count // 200 % 200}.{2 + self.count % 200}"
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), 10, (source, 0))
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @staticmethod
    def _pump(one, other):
        try:
            while True:
                data = one.recv(65536)
                if not data:
                    break
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def wait_until(is_done, seconds):
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
