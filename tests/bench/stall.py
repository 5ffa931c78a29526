"""tests/bench/run.sh stall: what uninvolved clients of the broker notice, and how long the plugin holds its loop.

Started by tests/bench/stall.sh, which made PKI, identities and a bare broker. Two clients send each other messages
all the time, while something happens: nothing, a rotation of the whole fleet, as many bare connects a second at a
broker without a plugin, a backup, a burst of requests for certificates, a start over a large registry with a fleet that
comes back all at once. The last line is "N passed, N failed".
"""

import os
import shutil
import struct
import subprocess
import time
from statistics import median

import measure
from figures import percentile
from measure import PATIENCE, rounded
from mqtt5 import Closed
from processes import wait

PAIR_RATE = 250                # messages a second
IDLE_SECONDS, BARE_SECONDS = 5, 10
BACKUPS = 3
P99_LIMIT, HOLD_LIMIT_US = 1.5, 2000
HOLD = struct.Struct("6Q")     # struct hold of bench_hold.c
EVENTS = {1: "reload", 2: "acl_check", 3: "basic_auth", 4: "ext_auth", 5: "ext_auth", 6: "control", 7: "message", 8: "psk",
          9: "tick", 10: "disconnect", 11: "connect"}
PHASES = {"idle": "nothing happens", "rotate": "a rotation of the fleet, at full speed",
          "bare": "as many bare connects, no plugin", "backup": "backups", "burst": "a burst of requests",
          "startup": "a start, and the fleet comes back"}


def options():
    parser = measure.base_options()
    for name in ("hubs", "rounds", "devices", "burst"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--bare", type=measure.place, required=True)
    parser.add_argument("--broker", required=True)
    args = parser.parse_args()
    return measure.finished(args, "stall", args.hubs, os.getpid(), 8)


def mono_us():
    return time.monotonic_ns() // 1000


def before_pair():
    """The two clients are served at once, whatever else this machine does: it is the broker that is looked at."""
    is_allowed = subprocess.run(["chrt", "-f", "1", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    return ("chrt", "-f", "1") if is_allowed else ()


class Stall(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.hold_path = args.top + "/hold"
        self.before_pair = before_pair()
        self.broker = None
        self.us = {name: [] for name in PHASES}       # of each round: the samples
        self.hold = {name: [] for name in PHASES}     # of each round: {event: (calls, longest us, of processor alone)}
        self.rates, self.bursts, self.starts = [], [], []
        self.connects = self.issued = self.backups = 0

    # --- the broker

    def start_broker(self):
        """The moment at which its process was there."""
        log = open(self.scene.tmp + ".log", "ab")
        command = ["setpriv", "--pdeathsig", "KILL", "env", f"OPENSSL_CONF={self.args.top}/openssl.cnf",
                   f"LD_AUDIT={self.args.build}/tests/bench_hold.so", f"KT_HOLD_FILE={self.hold_path}",
                   "KT_HOLD_PLUGIN=mosquitto_keyturn.so", self.args.broker, "-c", self.scene.tmp + "/mosquitto.conf"]
        began = mono_us()
        self.broker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.args.broker_pid = self.broker.pid
        return began

    def is_up(self):
        if self.broker.poll() is not None:
            raise RuntimeError(f"the broker ended: {self.broker.returncode}")
        try:
            return bool(self.scene.operator({"command": "status"}))
        except (OSError, Closed):  # not yet
            return False

    def wait_up(self):
        if not wait(self.is_up, lambda up: up, PATIENCE):
            raise RuntimeError("the broker does not start")

    def stop_broker(self):
        self.broker.terminate()
        return self.broker.wait(PATIENCE)

    # --- what is measured

    def zero_hold(self):
        with open(self.hold_path, "r+b") as file:
            file.write(bytes(os.path.getsize(self.hold_path)))

    def read_hold(self):
        with open(self.hold_path, "rb") as file:
            data = file.read()
        found = {}
        for number in range(len(data) // HOLD.size):
            calls, _, longest, longest_cpu, _, _ = HOLD.unpack_from(data, number * HOLD.size)
            if calls:
                found[EVENTS.get(number, str(number))] = (calls, longest / 1000, longest_cpu / 1000)
        return found

    def start_pair(self, port):
        name = f"bench-{self.args.hubs}"
        return self.program("bench_pair", port, f"{self.scene.tmp}/identities/{self.args.hubs}.pem", f"devices/{name}",
                            PAIR_RATE, before=self.before_pair)

    def during(self, name, work, port=None):
        """The pair's samples while work() is done."""
        pair = self.start_pair(port or self.scene.port)
        if pair.stdout.readline() != "ready\n":
            raise RuntimeError("bench_pair: not ready")
        if port is None:
            self.zero_hold()
        began = mono_us()
        work()
        ended = mono_us()
        pair.stdin.close()
        pair.stdin = None
        self.keep(name, self.result(pair), began, ended)
        if port is None:
            self.hold[name].append(self.read_hold())

    def keep(self, name, result, began, ended):
        us = [us for at, us in zip(result["at_us"], result["us"]) if began <= at < ended]
        if not us:
            raise RuntimeError(f"{name}: no message fell into it")
        self.us[name].append(us)

    # --- what happens meanwhile

    def rotate_fleet(self, turn):
        began = time.monotonic()
        self.scene.equal(f"round {turn}: no order of a rotation is refused", self.order_rotation(), 0)
        self.wait_settled(f"round {turn}: every hub has rolled over")
        self.rates.append(2 * self.args.hubs / (time.monotonic() - began))  # connects a second

    def bare_connects(self):
        storm = self.result(self.program("bench_storm", "connects", self.args.bare[1], self.scene.tmp + "/identities",
                                         min(self.args.hubs, 64), max(1, round(self.rates[-1])), BARE_SECONDS,
                                         before=("nice", "-n", "10")))
        if storm["let_in"] != storm["made"] or storm["made"] == 0:
            raise RuntimeError(f"bare connects: {storm}")
        self.connects += storm["let_in"]

    def make_backups(self):
        for _ in range(BACKUPS):
            path = f"{self.args.top}/backup"
            done = subprocess.run([self.args.ctl, "backup", path, "--config", self.scene.tmp + "/keyturn.conf"],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
            verified = subprocess.run([self.args.ctl, "audit", "verify", path], capture_output=True, text=True,
                                      stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
            if done.returncode != 0 or verified.returncode != 0:
                raise RuntimeError(f"backup: {done.stdout}{done.stderr}{verified.stdout}{verified.stderr}")
            self.backups += 1
            shutil.rmtree(path)

    def burst(self):
        """Sessions and requests are made before anything is measured."""
        first = self.args.hubs + 1
        names = [f"bench-{i}" for i in range(first, first + self.args.burst)]
        process = self.program("bench_burst", self.scene.port, self.scene.td, self.scene.tmp + "/identities", first,
                               self.args.burst)
        self.heard(process, "ready")
        for i in range(0, len(names), 1000):
            self.scene.command("rotate", devices=names[i:i + 1000], expect=len(names[i:i + 1000]))
        self.say(process, "arm")
        self.heard(process, "armed")
        self.during("burst", lambda: self.fire(process))
        process.stdin.close()
        process.wait(PATIENCE)
        self.must([{"command": "cancel", "device": name} for name in names])  # nobody confirms what was issued

    def say(self, process, word):
        process.stdin.write(word + "\n")
        process.stdin.flush()

    def heard(self, process, word):
        line = process.stdout.readline()
        if line != word + "\n":
            raise RuntimeError(f"bench_burst: {line!r} in place of {word}")

    def fire(self, process):
        self.say(process, "fire")
        line = process.stdout.readline()
        if not line.startswith("{"):
            raise RuntimeError(f"bench_burst: {line!r}")
        self.bursts.append(measure.json.loads(line))

    def start_over(self, turn):
        """The broker ends and starts; the fleet comes back as it will; two others get in as soon as anybody can."""
        self.scene.equal(f"round {turn}: the broker ends as it should", self.stop_broker(), 0)
        self.zero_hold()
        began = self.start_broker()
        pair = self.start_pair(self.scene.port)
        if pair.stdout.readline() != "ready\n":
            raise RuntimeError("bench_pair: not ready")
        self.wait_settled(f"round {turn}: the fleet is back after the start")
        ended = mono_us()
        pair.stdin.close()
        pair.stdin = None
        result = self.result(pair)
        self.keep("startup", result, began, ended)
        self.hold["startup"].append(self.read_hold())
        self.starts.append((result["ready_us"] - began) / 1e6)

    def round(self, turn):
        self.during("idle", lambda: time.sleep(IDLE_SECONDS))
        for name in ("rotate", "bare") if turn % 2 == 0 else ("bare", "rotate"):
            if name == "rotate":
                self.during("rotate", lambda: self.rotate_fleet(turn))
            else:
                self.during("bare", self.bare_connects, self.args.bare[1])
        self.during("backup", self.make_backups)
        self.burst()
        self.start_over(turn)

    # --- what must be so

    def failures(self, report):
        """But for what the end of a broker is to its hubs."""
        ends = ("failed.agent.lost", "failed.agent.no_answer")
        return {name: count for name, count in super().failures(report).items() if name not in ends}

    def longest(self, name):
        """Of all rounds: (microseconds, event, of processor alone)."""
        return max(((longest, event, cpu) for found in self.hold[name] for event, (_, longest, cpu) in found.items()),
                   default=(0.0, "none", 0.0))

    def ratios(self, name):
        return [percentile(us, 99) / percentile(bare, 99) for us, bare in zip(self.us[name], self.us["bare"])]

    def check_work(self):
        status = self.ctl("status")
        self.scene.equal("all devices are registered", int(status["counts"]["devices"]), self.args.devices)
        counts = {"op.open": 0, "commit": 0, "issue": 0}
        first_burst = self.args.hubs + 1
        with open(self.scene.tmp + "/ledger/ledger.kt", "rb") as file:
            for line in file:
                record = measure.json.loads(line[65:])
                if record["kind"] not in counts or record["actor"] == "op:bench":
                    continue
                is_burst = int(record["device"].split("-")[1]) >= first_burst
                if record["kind"] == "issue" and is_burst or record["kind"] == "commit" and not is_burst:
                    counts[record["kind"]] += 1
        rounds = self.args.rounds
        self.scene.equal("each rotation of the fleet is in the ledger", counts["commit"], self.args.hubs * rounds)
        self.scene.equal("each certificate of the bursts is in the ledger, once", counts["issue"], self.args.burst * rounds)
        self.scene.equal("everybody in the bursts got one", [b["certs"] for b in self.bursts], [self.args.burst] * rounds)
        self.scene.equal("backups were made and verify", self.backups, BACKUPS * rounds)
        self.scene.check("bare connects were let in", self.connects > 0, self.connects)
        for name in PHASES:
            if name != "bare":
                calls = sum(calls for found in self.hold[name] for calls, *_ in found.values())
                self.scene.check(f"{PHASES[name]}: the plugin was called", calls > 0, self.hold[name])
        report = self.fleet.report()
        self.check_hubs(report)
        self.scene.equal("each hub has lost its connection once for each end of the broker, and never else",
                         report["counts"].get("failed.agent.lost", 0), self.args.hubs * rounds)

    def judge(self):
        ratio = median(self.ratios("rotate"))
        self.at_most("uninvolved clients' p99 during a rotation of the fleet, to as many bare connects", ratio, 1.0, P99_LIMIT)
        for name, text in PHASES.items():
            if name != "bare":
                held, event, cpu = self.longest(name)
                self.scene.check(f"{text}: nothing of ours holds the loop over {HOLD_LIMIT_US} us ({held:.0f}, {event})",
                                 held <= HOLD_LIMIT_US, f"{event}: {held:.0f} us, of which at most {cpu:.0f} of processor: the "
                                 "rest it waited")

    def figures(self, name):
        """Of the rounds the middle one: what else the machine did is not in the median."""
        return {"count": sum(len(us) for us in self.us[name]), "p50_us": median([percentile(us, 50) for us in self.us[name]]),
                "p99_us": median([percentile(us, 99) for us in self.us[name]]),
                "max_us": median([max(us) for us in self.us[name]]), "worst_us": max(max(us) for us in self.us[name])}

    def document(self, _=None):
        phases = {name: self.figures(name) for name in PHASES}
        for name in PHASES:
            if name != "bare":
                held, event, cpu = self.longest(name)
                phases[name].update(hold_us=held, hold_event=event, hold_cpu_us=cpu,
                                    p99_to_bare=median(self.ratios(name)))
        return {"benchmark": "stall", "hubs": self.args.hubs, "devices": self.args.devices, "rounds": self.args.rounds,
                "messages_per_s": PAIR_RATE, "connects_per_s": median(self.rates), "phases": phases,
                "burst": {"requests": self.args.burst, "seconds": median([b["us"] / 1e6 for b in self.bursts]),
                          "rejected": sum(b["rejected"] for b in self.bursts),
                          "repeated": sum(b["repeated"] for b in self.bursts)},
                "start_to_first_connect_s": median(self.starts)}

    def tell(self, document):
        print(f"stall: {self.args.hubs} hubs, {self.args.devices} devices registered, {self.args.rounds} rounds; publish to "
              f"delivery of two uninvolved clients, {PAIR_RATE} messages a second")
        for name, text in PHASES.items():
            p = document["phases"][name]
            held = f"; our longest call {p['hold_us'] / 1000:.3f} ms ({p['hold_event']}; {p['hold_cpu_us'] / 1000:.3f} of processor)" if name != "bare" else ""
            print(f"  {text:40} {p['count']:6d} times  p50 {p['p50_us'] / 1000:8.3f}  p99 {p['p99_us'] / 1000:8.3f}  max "
                  f"{p['max_us'] / 1000:8.3f} ms{held}")
        print(f"  connects a second: {document['connects_per_s']:.1f}, in both; p99 of the rotation to that of the bare "
              f"connects {document['phases']['rotate']['p99_to_bare']:.3f}")
        burst = document["burst"]
        print(f"  a burst of {burst['requests']} took {burst['seconds']:.2f} s, {burst['rejected']} times somebody was told to "
              f"come back, {burst['repeated']} asked again; start to first connect {document['start_to_first_connect_s']:.2f} s")

    def run(self):
        self.start_broker()
        self.wait_up()
        self.connect()
        for process in self.fleet.processes:
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        for turn in range(self.args.rounds):
            self.round(turn)
        self.check_work()
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        self.scene.equal("the broker ends as it should", self.stop_broker(), 0)
        self.judge()
        document = self.document()
        self.tell(document)
        self.write(rounded(document))
        self.scene.finish()


if __name__ == "__main__":
    Stall(options()).run()
