"""The rounds of tests/bench/run.sh abuse: who is refused, who stands there, who floods, and what others notice.

Started by tests/bench/abuse.sh, which made PKI, identities and three brokers. In every round 100 hubs rotate at the
Keyturn broker. The abuse is aimed at one broker a round; figures of a kind of round are those of all its rounds. The
last line is "N passed, N failed".
"""

import json
import statistics
import time

import measure
from drive import ALARMS
from figures import percentile
from processes import cpu_s, rss_kib, wait

RATE, IDLE, HALF = 300, 900, 500         # what the abuse is
FLOOD, COMMANDS, PAIR = 400, 50, 100     # messages a second: of the rogue devices, of an operator, of the pair
LIMIT = 1.2                              # Keyturn's cost in that of the bare broker
MEMORY_KIB = 8 * 1024                    # of the broker, under the load: beside what the clients themselves take
GROWTH_KIB = 8 * 1024                    # after the last round: above that of the first one
PATIENCE = 90

# name: (broker, whose certificates are refused there), and what a reader is told
ROUNDS = {"quiet": ("keyturn", None, "Keyturn, no abuse"),
          "registry": ("keyturn", "strangers", "Keyturn: our CA, not in the registry"),
          "ca": ("keyturn", "other", "Keyturn: unknown CA"),
          "bare_ca": ("tls", "strangers", "bare broker: unknown CA"),
          "bare_connect": ("connect", "strangers", "bare broker: known CA, refused CONNECT")}


def options():
    parser = measure.base_options()
    for name in ("hubs", "rogues", "strangers", "rounds", "seconds"):
        parser.add_argument("--" + name, type=int, required=True)
    for name in ("keyturn", "tls", "connect"):
        parser.add_argument("--" + name, type=measure.place, required=True)
    args = parser.parse_args()
    return measure.finished(args, "abuse", args.hubs, args.keyturn[0], 1)


class Round:
    """What is known of all rounds of one kind."""

    def __init__(self):
        self.cpu, self.us, self.storm, self.stood, self.flood, self.commands = 0.0, [], [], [], [], []


class Abuse(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.rounds = {name: Round() for name in ROUNDS}
        self.before = {}  # each broker's memory before the first round
        self.after = []   # the Keyturn broker's after each turn of all rounds

    # --- programs

    def identities(self, broker):
        """Whom this broker lets in."""
        return f"{self.args.top}/{'other' if broker == 'tls' else 'keyturn'}/identities"

    def start_stand(self, port):
        process = self.program("bench_storm", "stand", port, IDLE, HALF)
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("bench_storm stand: not ready")
        return process

    def abuse(self, broker, refused):
        """The programs that do it, by name."""
        port, top, seconds = getattr(self.args, broker)[1], self.args.top, self.args.seconds
        devices = ["devices", port, self.scene.td, self.identities(broker), self.args.hubs + 1, self.args.rogues, FLOOD,
                   seconds] + ([] if broker == "keyturn" else ["plain"])
        return {"storm": self.program("bench_storm", "connects", port, f"{top}/{refused}/identities",
                                      self.args.strangers, RATE, seconds),
                "flood": self.program("bench_abuse", *devices),
                "commands": self.program("bench_abuse", "operator", f"{top}/{broker}/op.sock",
                                         f"bench-{self.args.hubs}-op" if broker != "keyturn" else "op:flood", COMMANDS,
                                         seconds)}

    # --- a round

    def order_in_turn(self):
        """A rotation of everybody, some each second of the round but the last; how many were refused."""
        parts = max(1, self.args.seconds - 1)
        refused, began = 0, time.monotonic()
        for part in range(parts):
            some = self.devices[part::parts]
            refused += self.scene.command("rotate", devices=some, expect=len(some))["refused"]
            time.sleep(max(0.0, began + part + 1 - time.monotonic()))
        self.generation += 1
        return refused

    def play(self, name):
        broker, refused, _ = ROUNDS[name]
        pid, port = getattr(self.args, broker)
        figures = self.rounds[name]
        stand = self.start_stand(port) if refused else None
        cpu = cpu_s(pid)
        programs = self.abuse(broker, refused) if refused else {}
        pair = self.program("bench_abuse", "pair", port, f"{self.identities(broker)}/{self.args.hubs}.pem",
                            f"devices/bench-{self.args.hubs}", PAIR, self.args.seconds)
        self.scene.equal(f"{name}: no order of a rotation is refused", self.order_in_turn(), 0)
        results = {what: self.result(process, self.args.seconds + PATIENCE) for what, process in programs.items()}
        figures.us.append(self.result(pair, self.args.seconds + PATIENCE)["us"])
        self.wait_settled(f"{name}: every hub has rolled over, and is in session with the new credential alone")
        figures.cpu += cpu_s(pid) - cpu
        if not refused:
            return
        stand.stdin.close()
        figures.stood.append(json.loads(stand.stdout.readline()))
        stand.wait(PATIENCE)
        figures.storm.append(results["storm"])
        figures.flood.append(results["flood"])
        figures.commands.append(results["commands"])

    def calm(self, pid):
        """Until the broker has noticed that all of them are gone; then what memory it keeps."""
        wait(lambda: int(self.ctl("status")["counts"]["sessions"]), lambda count: count <= self.args.hubs + 1, PATIENCE)
        wait(lambda: round(cpu_s(pid), 1), lambda _: False, 2, quiet=1)
        self.after.append(rss_kib(pid))

    # --- what must be so

    def check_round(self, name):
        figures = self.rounds[name]
        if ROUNDS[name][1] is None:
            return
        made = sum(storm["made"] for storm in figures.storm)
        in_mqtt = sum(storm["refused_mqtt"] for storm in figures.storm)
        in_tls = sum(storm["refused_tls"] + storm["closed"] for storm in figures.storm)
        self.scene.equal(f"{name}: each of {made} connects is refused where it should be",
                         (in_tls, in_mqtt, sum(s["let_in"] + s["hung"] for s in figures.storm)),
                         (0, made, 0) if name in ("registry", "bare_connect") else (made, 0, 0))
        late = max(storm["late_ms"] for storm in figures.storm)
        if ROUNDS[name][0] == "keyturn":  # a bare broker that had less to do makes the ratios worse, not better
            self.scene.check(f"{name}: {RATE} connects a second were made", late <= 1000 * self.args.seconds / 10,
                             f"up to {late} ms late: is this machine busy with something else?")
        self.scene.check(f"{name}: who stands there stood until the end",
                         all(s["idle"] == IDLE and s["half"] == HALF for s in figures.stood), figures.stood)

    def storm_ms(self, name):
        """The broker's milliseconds of processor for each refused connect, all abuse included."""
        quiet = self.rounds["quiet"].cpu if ROUNDS[name][0] == "keyturn" else 0
        return (self.rounds[name].cpu - quiet) * 1000 / sum(storm["made"] for storm in self.rounds[name].storm)

    def delay(self, name, percent):
        """Of the uninvolved pair, in microseconds: the middle one of the rounds, for what else the machine does."""
        return statistics.median(percentile(us, percent) for us in self.rounds[name].us)

    def ratio(self, name, value, base):
        self.scene.check(f"{name}: at most {LIMIT}", value <= LIMIT * base, f"{value:.3f} to {base:.3f} are {value / base:.3f}")

    def check_keyturn(self, report):
        status = self.ctl("status")
        rotations = self.args.hubs * (self.generation - 1)
        self.scene.equal("the CA has signed one certificate for each op, and none for who floods",
                         (self.events("rotation.issued"), self.events("rotation.committed")), (rotations, rotations))
        self.scene.equal("no alarms", {n: self.events(n) for n in ALARMS if self.events(n)}, {})
        self.check_hubs(report)
        sent = sum(f["sent"] for n in ("registry", "ca") for f in self.rounds[n].flood)
        refused = int(status["refusals"].get("msg.rate", 0))
        self.scene.check("most of the flood cost no signature", refused >= 0.7 * sent, f"{refused} of {sent}")
        told = [f["told"] for n in ("registry", "ca") for f in self.rounds[n].flood]
        self.scene.check("who floods is told when to come back", all(t > 0 for t in told), told)
        known = [row["generation"] for row in self.ctl("list")["devices"]
                 if int(row["device"].split("-")[1]) >= self.args.hubs]
        self.scene.equal("who floods has the credential that it had", known, [1] * (self.args.rogues + 1))

    def check_memory(self):
        """What a broker takes under the load, against the bare one that has the same clients up to their CONNECT."""
        pids = {broker: getattr(self.args, broker)[0] for broker in self.before}
        peak = {broker: rss_kib(pid, "VmHWM") for broker, pid in pids.items()}
        grown = {broker: peak[broker] - self.before[broker] for broker in pids}
        self.memory = {"before_kib": self.before["keyturn"], "peak_kib": peak["keyturn"], "after_kib": self.after,
                       "bare_before_kib": self.before["connect"], "bare_peak_kib": peak["connect"]}
        self.scene.check(f"memory during the abuse: grown by at most {LIMIT} times what a bare broker does, and "
                         f"{MEMORY_KIB} KiB", grown["keyturn"] <= LIMIT * grown["connect"] + MEMORY_KIB, self.memory)
        self.scene.check(f"memory after the last round: at most {GROWTH_KIB} KiB more than after the first one",
                         self.after[-1] - self.after[0] <= GROWTH_KIB, self.memory)

    def tell_figures(self):
        print(f"abuse: {RATE} refused connects a second, {IDLE} idle and {HALF} half-handshaken connections, {FLOOD} "
              f"messages of {self.args.rogues} devices and {COMMANDS} of an operator a second; {self.args.rounds} rounds of "
              f"{self.args.seconds} s each, {self.args.hubs} hubs rotating in every one")
        for name, (_, refused, text) in ROUNDS.items():
            cpu = self.rounds[name].cpu
            each = f"; {self.storm_ms(name):.3f} ms for each connect" if refused else ""
            print(f"  {text:40} p50 {self.delay(name, 50) / 1000:7.3f} ms, p99 {self.delay(name, 99) / 1000:7.3f} ms; "
                  f"CPU {cpu:6.2f} s{each}")
        print(f"  the handshake's share: a certificate of a CA that is known costs a bare broker "
              f"{self.storm_ms('bare_connect') / self.storm_ms('bare_ca'):.2f} times what one of an unknown CA does")
        print(f"  memory of the broker: {self.memory['before_kib']} KiB before, at most {self.memory['peak_kib']}, "
              f"afterwards {' '.join(str(kib) for kib in self.memory['after_kib'])}; of the bare one "
              f"{self.memory['bare_before_kib']} KiB before, at most {self.memory['bare_peak_kib']}")

    def write_document(self):
        rounds = {}
        for name, figures in self.rounds.items():
            rounds[name] = {"p50_us": self.delay(name, 50), "p99_us": self.delay(name, 99),
                            "cpu_s": round(figures.cpu, 2)}
            if ROUNDS[name][1]:
                rounds[name].update(connects=sum(s["made"] for s in figures.storm), cpu_ms_each=round(self.storm_ms(name), 3))
        self.write({"benchmark": "abuse", "hubs": self.args.hubs, "rounds": rounds, "memory": self.memory,
                    "rotations": self.args.hubs * (self.generation - 1)})

    def run(self):
        self.connect()
        self.before = {broker: rss_kib(getattr(self.args, broker)[0]) for broker in ("keyturn", "connect")}
        for turn in range(self.args.rounds):
            for name in ROUNDS if turn % 2 == 0 else reversed(ROUNDS):
                self.play(name)
            self.calm(self.args.broker_pid)
        for name in ROUNDS:
            self.check_round(name)
        self.check_memory()
        report = self.fleet.report()
        self.check_keyturn(report)
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        for name, base in (("ca", "bare_ca"), ("registry", "bare_connect")):
            what = f"{ROUNDS[name][2]}, to {ROUNDS[base][2]}"
            self.ratio(f"CPU, {what}", self.storm_ms(name), self.storm_ms(base))
            self.ratio(f"uninvolved clients' p99, {what}", self.delay(name, 99), self.delay(base, 99))
        self.tell_figures()
        self.write_document()
        self.scene.finish()


if __name__ == "__main__":
    Abuse(options()).run()
