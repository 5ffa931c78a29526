"""tests/bench/run.sh agent: what keyturn-agent takes of a hub: idle, at its start, and while it rotates.

Beside it mosquitto_sub over the same mutual TLS, and certmonger, which renews a self-signed certificate of its own.
Broker and hub are in network namespaces of their own with one cable between them, so that its counters are the bytes
of the wire. Needs root.
"""

import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

from figures import rotations_of
from play import (DYING, Bench, Failed, cpu_ns, fields_kib, free_port, median, read_text, thread_ns, threads,
                     wait_for, wakes)

DIRTY_LIMIT = 1.5     # private dirty, idle, in mosquitto_sub's
WAKES_LIMIT = 2       # a minute, of our own threads
MEDIAN_S = 1.0        # one rotation, on an idle broker
NEWNET = 0x40000000
BROKER_IP, HUB_IP = "198.18.0.1", "198.18.0.2"   # RFC 2544: for benchmarks
WRITES = "write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat"
WARM_S = 5            # of a connection, before it is called idle


def memory_kib(pid):
    """PSS, and what is private and dirty."""
    return fields_kib(f"/proc/{pid}/smaps_rollup", "Rss", "Pss", "Private_Dirty")


def family(pid):
    """It and its children."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        try:
            for tid in os.listdir(f"/proc/{one}/task"):
                queue += [int(word) for word in read_text(f"/proc/{one}/task/{tid}/children").split()]
        except OSError:
            pass
    return found


class Peak(threading.Thread):
    """The most memory that a process and its children have together; looked at all the time."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.is_over = pid, threading.Event()
        self.rss = self.pss = self.looks = 0
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.start()

    def run(self):
        while not self.is_over.is_set():
            rss = pss = 0
            for pid in family(self.pid):
                try:
                    figures = memory_kib(pid)
                except OSError:
                    continue
                rss, pss = rss + figures[0], pss + figures[1]
            self.rss, self.pss, self.looks = max(self.rss, rss), max(self.pss, pss), self.looks + 1
            time.sleep(0.0005)

    def end(self):
        self.is_over.set()
        self.join()
        own = fields_kib(f"/proc/{self.pid}/status", "VmHWM")[0]
        return {"rss_kib": max(self.rss, own), "pss_kib": self.pss, "own_rss_kib": own, "looks": self.looks}


def writes_of(trace, under):
    """Of strace -f -y: bytes and calls that went into files under this directory, and syncs."""
    found = {"bytes": 0, "writes": 0, "blocks_4k": 0, "syncs": 0, "names": 0}
    unfinished = {}
    for line in read_text(trace).splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
        if resumed:
            text = unfinished.pop(pid, "") + resumed[1]
        name = text.partition("(")[0]
        if under not in text or not re.search(r"= \d+$", text):
            continue
        if name in ("fsync", "fdatasync", "sync_file_range"):
            found["syncs"] += 1
        elif "write" in name and under in text.partition(",")[0]:
            size = int(text.rpartition("= ")[2])
            found["bytes"] += size
            found["writes"] += 1
            found["blocks_4k"] += -(-size // 4096)
        elif name.startswith(("rename", "unlink")):
            found["names"] += 1
    return found


class Agent(Bench):
    def __init__(self):
        super().__init__("agent", idle=60, rotations=20, rounds=10)
        self.started = []
        self.cable = None
        self.agent = f"{self.build}/keyturn-agent"

    # --- where it plays

    def namespaces(self):
        libc = ctypes.CDLL(None, use_errno=True)
        if os.geteuid() != 0 or libc.unshare(NEWNET) != 0:
            raise Failed("a network namespace of its own needs root")
        self.run(["ip", "link", "set", "lo", "up"])
        holder = self.spawn("cable", ["unshare", "-n", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own and
                 read_text(f"/proc/{holder.pid}/comm") == "sleep\n", 10, "the hub's network namespace")
        self.cable = holder.pid
        self.run(["ip", "link", "add", "kt0", "type", "veth", "peer", "name", "kt1", "netns", holder.pid])
        for inside, name, address in (([], "kt0", BROKER_IP), (self.at_hub(), "kt1", HUB_IP)):
            self.run([*inside, "ip", "addr", "add", address + "/30", "dev", name])
            # each frame is counted as what it is on a real wire
            self.run([*inside, "ip", "link", "set", name, "gso_max_segs", "1", "up"])
        self.run([*self.at_hub(), "ip", "link", "set", "lo", "up"])

    def at_hub(self):
        return ["nsenter", "-t", str(self.cable), "-n"]

    def spawn(self, name, command, **more):
        with open(f"{self.top}/{name}.log", "a") as log:
            process = subprocess.Popen([*DYING, *[str(word) for word in command]], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, **more)
        self.started.append(process)
        return process

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.started.remove(process)

    def start_broker(self):
        names = self.run(["openssl", "x509", "-in", f"{self.top}/pki/broker.pem", "-noout", "-ext", "subjectAltName"])
        if BROKER_IP not in names:
            raise Failed(f"the broker's certificate is not for {BROKER_IP}")
        claims = free_port()
        pki = f"{self.top}/pki"
        self.broker_ = self.add_broker(
            "keyturn", plugin=True, socket=True, address=BROKER_IP,
            keyturn=[f"broker_address = {BROKER_IP}:{claims}", "acl = readwrite devices/%d/#", "superseded_drain = 1s"],
            listener=[f"listener {claims} {BROKER_IP}", f"certfile {pki}/broker.pem", f"keyfile {pki}/broker.key"])
        self.broker_.start()

    # --- a hub

    def conf(self, hub):
        return f"{self.top}/{hub}/agent.conf"

    def state(self, hub):
        return f"{self.top}/{hub}/state"

    def enrol(self, hub):
        place = pathlib.Path(self.top, hub)
        place.mkdir(mode=0o700)
        conf = place / "agent.conf"
        conf.write_text(f"broker = {BROKER_IP}:{self.broker_.port}\nstate_dir = {place}/state\n")
        conf.chmod(0o600)
        self.broker_.ctl("create-device", hub)
        ticket = place / "ticket"
        ticket.write_text(self.run([f"{self.build}/keyturnctl", "--unix", self.broker_.socket, "create-ticket", hub, "--raw"]))
        ticket.chmod(0o600)
        self.run([*self.at_hub(), self.agent, "enroll", "-c", conf, "--ticket-file", ticket, "--wait", "60"])

    def in_session(self, hub, pid):
        try:
            text = read_text(f"{self.state(hub)}/status")
        except OSError:
            return False
        return f'"pid":{pid},' in text and '"health":"in_session"' in text

    def start_agent(self, hub, seconds=30):
        """The process, and how long until it is in session."""
        began = time.monotonic()
        process = self.spawn(hub, [*self.at_hub(), self.agent, "run", "-c", self.conf(hub)])
        self.spin(lambda: self.in_session(hub, process.pid), seconds, f"{hub} in session")
        return process, time.monotonic() - began

    def spin(self, look, seconds, what):
        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end:
                raise Failed(f"waited {seconds} s for: {what}")
            time.sleep(0.001)

    def start_sub(self, hub):
        """mosquitto_sub with this hub's identity."""
        identity = f"{self.state(hub)}/current/identity.pem"
        before = read_text(self.broker_.log).count(f" as {hub} (")
        began = time.monotonic()
        process = self.spawn("sub", [*self.at_hub(), "mosquitto_sub", "-h", BROKER_IP, "-p", self.broker_.port, "--cafile",
                                     f"{self.top}/pki/root.pem", "--cert", identity, "--key", identity, "-i", hub, "-V",
                                     "mqttv5", "-k", "60", "-t", f"devices/{hub}/#"])
        self.spin(lambda: read_text(self.broker_.log).count(f" as {hub} (") > before, 30, "mosquitto_sub is connected")
        return process, time.monotonic() - began

    def start_certmonger(self):
        """None: it is not installed."""
        if shutil.which("certmonger") is None:
            return None, 0
        place = pathlib.Path(self.top, "certmonger")
        for name in ("requests", "cas", "local", "tmp", "config"):
            (place / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {"REQUESTS_DIR": "requests", "CAS_DIR": "cas", "LOCAL_CA_DIR": "local", "TMPDIR": "tmp", "CONFIG_DIR": "config",
                 "SYSTEM_LOCK_FILE": "lock", "SESSION_LOCK_FILE": "lock"}
        self.monger_env = dict(os.environ, CERTMONGER_PVT_ADDRESS=f"unix:path={place}/socket",
                               **{"CERTMONGER_" + name: f"{place}/{file}" for name, file in names.items()})
        (place / "socket").unlink(missing_ok=True)
        began = time.monotonic()
        # -L: no bus, a socket of its own
        process = self.spawn("certmonger", ["certmonger", "-L", "-P", place / "socket", "-n"], env=self.monger_env)
        self.spin(lambda: (place / "socket").exists(), 30, "certmonger listens")
        return process, time.monotonic() - began

    def getcert(self, *words):
        self.run(["getcert", *words, "-w"], env=self.monger_env)

    # --- size and start

    def sizes(self):
        def stripped(path):
            self.run(["strip", "-o", f"{self.top}/stripped", os.path.realpath(path)])
            return os.stat(f"{self.top}/stripped").st_size

        rows = {"keyturn-agent": self.agent, "mosquitto_sub": shutil.which("mosquitto_sub"),
                "certmonger": shutil.which("certmonger")}
        self.document["size"] = {}
        for name, path in rows.items():
            if path is None:
                continue
            libraries = {os.path.realpath(word) for word in re.findall(r"=> (/\S+)", self.run(["ldd", path]))}
            libraries = {one for one in libraries if not re.search(r"/(libc|libm|ld-linux\S*|libpthread|libdl)\.so", one)}
            row = {"binary_bytes": stripped(path), "libraries": len(libraries),
                   "library_bytes": sum(os.stat(one).st_size for one in libraries)}
            self.document["size"][name] = row
            self.tell(f"  {name:14} {row['binary_bytes'] / 1024:7.0f} KiB, {row['libraries']} libraries of "
                      f"{row['library_bytes'] / 1024:.0f} KiB (without the C library)")

    def starts(self):
        """In turn; each is ended again."""
        took = {"keyturn-agent": [], "mosquitto_sub": [], "certmonger": []}
        for _ in range(self.args.rounds):
            for name, start in (("keyturn-agent", lambda: self.start_agent("hub-1")), ("mosquitto_sub", lambda: self.start_sub("hub-2")),
                                ("certmonger", self.start_certmonger)):
                process, seconds = start()
                if process is not None:
                    took[name].append((seconds, cpu_ns(process.pid) / 1e9))
                    self.end(process)
        self.document["start"] = {name: {"seconds": median([row[0] for row in rows]), "cpu_s": median([row[1] for row in rows])}
                                  for name, rows in took.items() if rows}
        for name, row in self.document["start"].items():
            self.tell(f"  {name:14} ready after {row['seconds'] * 1000:.0f} ms, {row['cpu_s'] * 1000:.1f} ms CPU")

    # --- idle

    def idle(self):
        processes = {"keyturn-agent": self.start_agent("hub-1")[0], "mosquitto_sub": self.start_sub("hub-2")[0],
                     "certmonger": self.start_certmonger()[0]}
        processes = {name: process for name, process in processes.items() if process is not None}
        if "certmonger" in processes:
            place = f"{self.top}/certmonger"
            self.getcert("request", "-c", "SelfSign", "-G", "EC", "-g", "256", "-f", f"{place}/cert.pem", "-k",
                         f"{place}/key.pem", "-N", "CN=bench")
        time.sleep(WARM_S)
        before = {name: self.snapshot(process.pid) for name, process in processes.items()}
        time.sleep(self.args.idle)
        document = self.document["idle"] = {"seconds": self.args.idle}
        for name, process in processes.items():
            document[name] = self.idle_row(name, process.pid, before[name])
        own, theirs = document["keyturn-agent"], document["mosquitto_sub"]
        self.check("all of them are still there, and both connections with them", self.all_idle(processes))
        self.target("private dirty of the idle agent, in mosquitto_sub's", own["private_dirty_kib"] / theirs["private_dirty_kib"],
                    DIRTY_LIMIT)
        self.target("wake-ups a minute of the agent's own threads", own["own_wakes_per_minute"], WAKES_LIMIT)
        return processes

    def all_idle(self, processes):
        """Each process lives, and no connection was made anew or lost meanwhile."""
        rows = {row["device"]: row["online"] for row in self.broker_.ctl("list")["devices"]}
        return all(process.poll() is None for process in processes.values()) and rows["hub-1"] and rows["hub-2"]

    def snapshot(self, pid):
        """Wake-ups and processor's time of each thread, and which of them look after sockets beside the main one: the
        MQTT library's. The agent's own others, one for each link, wait for a word of the main thread."""
        waiting = {tid: read_text(f"/proc/{pid}/task/{tid}/wchan") for tid in threads(pid)}
        return (wakes(pid), {tid: thread_ns(pid, tid) for tid in waiting},
                {tid for tid, where in waiting.items() if tid != pid and "futex" not in where})

    def idle_row(self, name, pid, before):
        minutes = self.args.idle / 60
        counts, times, library = self.snapshot(pid)
        library |= before[2]
        wake = {tid: counts[tid] - before[0].get(tid, 0) for tid in counts}
        cpu = {tid: (times[tid] - before[1].get(tid, 0)) / 1e6 for tid in times}
        rss, pss, dirty = memory_kib(pid)
        row = {"rss_kib": rss, "pss_kib": pss, "private_dirty_kib": dirty, "threads": len(counts),
               "library_threads": len(library & set(counts)),
               "own_wakes_per_minute": sum(wake[tid] for tid in wake if tid not in library) / minutes,
               "own_cpu_ms_per_minute": sum(cpu[tid] for tid in cpu if tid not in library) / minutes,
               "library_wakes_per_minute": sum(wake[tid] for tid in wake if tid in library) / minutes,
               "library_cpu_ms_per_minute": sum(cpu[tid] for tid in cpu if tid in library) / minutes}
        self.tell(f"  {name:14} idle: RSS {rss} KiB, PSS {pss}, private dirty {dirty}; {len(counts)} threads; a minute: own threads "
                  f"{row['own_wakes_per_minute']:.0f} wake-ups, {row['own_cpu_ms_per_minute']:.1f} ms CPU; Paho's {row['library_threads']}: "
                  f"{row['library_wakes_per_minute']:.0f} wake-ups, {row['library_cpu_ms_per_minute']:.1f} ms")
        return row

    # --- rotations

    def wire(self):
        """Bytes and frames that the hub has sent and received."""
        for line in read_text(f"/proc/{self.cable}/net/dev").splitlines():
            name, _, rest = line.partition(":")
            if name.strip() == "kt1":
                words = [int(word) for word in rest.split()]
                return {"sent_bytes": words[8], "sent_frames": words[9], "received_bytes": words[0], "received_frames": words[1]}
        raise Failed("no cable")

    def promoted(self):
        return read_text(self.broker_.log).count("event=rotation.promoted device=hub-1 ")

    def rotate(self, pid):
        """One, to its end: promoted, in session, the line silent."""
        before = self.promoted()
        self.broker_.ctl("rotate", "hub-1")
        wait_for(lambda: self.promoted() > before and self.in_session("hub-1", pid), 60, "a rotation of hub-1")
        last, since = self.wire(), time.monotonic()
        while time.monotonic() - since < 1.5:  # longer than superseded_drain
            time.sleep(0.1)
            if (now := self.wire()) != last:
                last, since = now, time.monotonic()

    def rotations(self, pid):
        prints, wires, disks, cpu = set(), [], [], []
        for _ in range(self.args.rotations):
            wire, disk, began = self.wire(), fields_kib(f"/proc/{pid}/io", "write_bytes")[0], cpu_ns(pid)
            self.rotate(pid)
            now = self.wire()
            wires.append({name: now[name] - wire[name] for name in now})
            disks.append(fields_kib(f"/proc/{pid}/io", "write_bytes")[0] - disk)
            cpu.append((cpu_ns(pid) - began) / 1e6)
            prints.add(self.run(["openssl", "x509", "-in", f"{self.state('hub-1')}/current/identity.pem", "-noout", "-fingerprint",
                                 "-sha256"]))
        self.check(f"{self.args.rotations} rotations, each with another certificate", len(prints) == self.args.rotations, len(prints))
        times = rotations_of(f"{self.broker_.fleet}/ledger/ledger.kt")
        self.check("and each in the ledger, from opened to promoted", times["opened_to_promoted"]["count"] == self.args.rotations,
                   times)
        document = self.document["rotation"] = {
            "count": self.args.rotations, "cpu_ms": median(cpu), "write_bytes": median(disks),
            "wire": {name: median([wire[name] for wire in wires]) for name in wires[0]}, **times}
        wire = document["wire"]
        self.tell(f"  one rotation: committed after {times['opened_to_committed']['p50_ms']:.0f} ms (p50), promoted after "
                  f"{times['opened_to_promoted']['p50_ms']:.0f}; {wire['sent_bytes']:.0f} bytes sent, {wire['received_bytes']:.0f} "
                  f"received, {wire['sent_frames'] + wire['received_frames']:.0f} frames; {document['cpu_ms']:.1f} ms CPU")
        self.target("seconds of one rotation, opened to promoted, the middle one", times["opened_to_promoted"]["p50_ms"] / 1000,
                    MEDIAN_S)

    def rekey(self):
        """certmonger's rotation: another key, another certificate."""
        place = f"{self.top}/certmonger"
        before = [read_text(f"{place}/{name}.pem") for name in ("key", "cert")]
        began = time.monotonic()
        self.getcert("rekey", "-f", f"{place}/cert.pem")
        took = time.monotonic() - began
        after = [read_text(f"{place}/{name}.pem") for name in ("key", "cert")]
        if any(a == b for a, b in zip(before, after)):
            self.check("certmonger has another key and certificate", False)
        return took

    def peaks(self, processes):
        """The same thing done with somebody looking at the memory all the time."""
        ways = {"keyturn-agent": lambda: self.rotate(processes["keyturn-agent"].pid), "certmonger": self.rekey}
        document = self.document["peak"] = {}
        for name, way in ways.items():
            if name not in processes:
                continue
            rows = []
            for _ in range(max(3, self.args.rounds // 2)):
                peak = Peak(processes[name].pid)
                way()
                rows.append(peak.end())
            document[name] = {figure: max(row[figure] for row in rows) for figure in rows[0]}
            self.tell(f"  {name:14} at most, with its children, while rotating: RSS {document[name]['rss_kib']} KiB, PSS "
                      f"{document[name]['pss_kib']} (its own process RSS {document[name]['own_rss_kib']})")
        if len(document) == 2:
            for figure, what in (("pss_kib", "PSS"), ("rss_kib", "RSS")):
                self.target(f"the agent's peak while rotating, {what}, in certmonger's (it and its helpers)",
                            document["keyturn-agent"][figure] / document["certmonger"][figure], 1)

    def flash(self, processes):
        """The same thing done under strace."""
        document = self.document["flash"] = {}
        ways = {"keyturn-agent": (lambda: self.rotate(processes["keyturn-agent"].pid), self.state("hub-1")),
                "certmonger": (self.rekey, f"{self.top}/certmonger")}
        for name, (way, under) in ways.items():
            if name not in processes:
                continue
            trace = f"{self.top}/{name}.trace"
            tracer = self.spawn("strace", ["strace", "-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", "trace=" + WRITES, "-o", trace,
                                           "-p", processes[name].pid])
            wait_for(lambda: self.is_traced(processes[name].pid), 10, "strace")
            way()
            self.end(tracer)
            document[name] = writes_of(trace, under)
            row = document[name]
            self.check(f"{name}: what it writes was seen", row["bytes"] > 0, row)
            self.tell(f"  {name:14} one rotation writes {row['bytes']} bytes in {row['writes']} writes ({row['blocks_4k']} blocks of "
                      f"4 KiB), {row['syncs']} syncs, {row['names']} names changed or removed")

    def is_traced(self, pid):
        return all(fields_kib(f"/proc/{pid}/task/{tid}/status", "TracerPid")[0] > 0 for tid in threads(pid))

    # --- all of it

    def play(self):
        self.namespaces()
        self.start_broker()
        for hub in ("hub-1", "hub-2"):
            self.enrol(hub)
        self.tell("agent: what it takes of a hub")
        self.sizes()
        self.starts()
        processes = self.idle()
        if "certmonger" not in processes:
            self.tell("  no certmonger here: nothing to compare rotations with")
        self.end(processes.pop("mosquitto_sub"))
        self.rotations(processes["keyturn-agent"].pid)
        if "certmonger" in processes:
            self.document["rotation"]["certmonger_s"] = median([self.rekey() for _ in range(self.args.rotations)])
            self.tell(f"  certmonger: one after {self.document['rotation']['certmonger_s'] * 1000:.0f} ms, self-signed, without a network")
        self.peaks(processes)
        self.flash(processes)
        self.check("the agent is in session at the end, says keyturnctl", self.broker_.ctl("show", "hub-1")["online"])
        for process in list(self.started)[::-1]:
            self.end(process)


if __name__ == "__main__":
    bench = Agent()
    bench.main(bench.play)
