"""tests/bench/run.sh scale: is a hub as cheap among ten thousand as among a thousand?

Started by tests/bench/scale.sh, which made PKI, identities, a broker with the plugin and a bare one. The fleet grows
from a tenth to all of its hubs, on one broker. At each size: what a new hub's connect costs, what the live ones cost
while nothing happens, and what a challenge and a rotation of some of them cost. Bare connects at another broker, in every
round, tell how fast the machine is at that time: what is judged is the growth of cost in such connects. The last line
is "N passed, N failed".
"""

import collections
import json
import time
from statistics import median

import measure
from measure import Used, rounded
from processes import rss_kib, wait

STEPS = (0.1, 0.25, 0.5, 1.0)  # of all hubs
SOME = 500                     # hubs that are challenged and rolled over, at most; in each round
IDLE_SECONDS = 10
BARE_CONNECTS, BARE_AT_A_TIME = 600, 16
FLAT, FLAT_MEMORY = 1.15, 1.1  # the cost of a hub at the largest size, to that at the smallest
COSTS = {"connect": "a new hub: connect, hello, welcome", "challenge": "a challenge, answered", "rotation": "a rotation"}


def options():
    parser = measure.base_options()
    for name in ("hubs", "rounds"):
        parser.add_argument("--" + name, type=int, required=True)
    for name in ("keyturn", "bare"):
        parser.add_argument("--" + name, type=measure.place, required=True)
    args = parser.parse_args()
    return measure.finished(args, "scale", args.hubs, args.keyturn[0], 8)


class Scale(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.all = self.devices
        self.generations = collections.Counter()  # how many hubs are to be of which
        self.of = {}                              # device: its generation
        self.sizes = []
        self.start_kib = rss_kib(args.broker_pid)
        self.rotations = self.challenges = 0

    # --- one fleet that grows

    def is_settled(self, status):
        wanted = {str(generation): count for generation, count in self.generations.items() if count}
        return status["settled"] == len(self.devices) and status["generations"] == wanted

    def grow_to(self, count):
        """The broker's microseconds for each new hub."""
        new = self.all[len(self.of):count]
        self.generations[1] += len(new)
        self.of.update({device: 1 for device in new})
        self.devices = self.all[:count]
        used = Used(self.args.broker_pid)
        if self.fleet is None:
            self.args.hubs = count
            self.start(["--identities", self.scene.tmp + "/identities"])
        else:
            self.fleet.grow(len(new))
        self.wait_settled(f"{count} hubs: every one is in session with the credential that it has")
        return used.total_us() / len(new)

    def some(self, turn):
        """Spread over all of them, others in each round."""
        count = min(SOME, len(self.devices))
        step = len(self.devices) // count
        return [self.devices[(i * step + turn) % len(self.devices)] for i in range(count)]

    # --- what is measured

    def bare_us(self):
        pid, port = self.args.bare
        used = Used(pid)
        storm = self.result(self.program("bench_storm", "flat_out", port, self.scene.tmp + "/identities",
                                         min(len(self.devices), 64), BARE_CONNECTS, BARE_AT_A_TIME))
        if storm["let_in"] != storm["made"] or storm["made"] == 0:
            raise RuntimeError(f"bare connects: {storm}")
        return used.total_us() / storm["made"]

    def idle_us(self):
        """For each hub and second; hubs say that they are alive once a minute."""
        used, began = Used(self.args.broker_pid), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return used.total_us() / len(self.devices) / (time.monotonic() - began)

    def challenge_us(self, turn):
        some, used = self.some(turn), Used(self.args.broker_pid)
        self.must([{"command": "challenge", "device": device} for device in some])
        self.challenges += len(some)
        answered = wait(lambda: self.events("challenge.answered"), lambda n: n >= self.challenges, self.patience)
        self.scene.equal(f"{len(self.devices)} hubs: each challenge is answered", answered, self.challenges)
        return used.total_us() / len(some)

    def rotation_us(self, turn):
        some, used = self.some(turn), Used(self.args.broker_pid)
        refused = self.scene.command("rotate", devices=some, expect=len(some))["refused"]
        for device in some:
            self.generations[self.of[device]] -= 1
            self.of[device] += 1
            self.generations[self.of[device]] += 1
        self.rotations += len(some)
        self.scene.equal(f"{len(self.devices)} hubs: no order of a rotation is refused", refused, 0)
        self.wait_settled(f"{len(self.devices)} hubs: who was told to has rolled over")
        return used.total_us() / len(some)

    def measure(self, count):
        bare = [self.bare_us()]
        connect = self.grow_to(count)
        rounds = {"challenge": [], "rotation": []}
        memory = rss_kib(self.args.broker_pid)
        idle = self.idle_us()
        for turn in range(self.args.rounds):
            bare.append(self.bare_us())
            rounds["challenge"].append((self.challenge_us(turn), bare[-1]))
            rounds["rotation"].append((self.rotation_us(turn), bare[-1]))
        step = {"hubs": count, "connect_us": connect, "connect_in_bare": connect / median(bare[:2]),
                "idle_us_each_s": idle, "memory_kib_each": (memory - self.start_kib) / count, "bare_us": median(bare)}
        for name, samples in rounds.items():
            step[name + "_us"] = median([us for us, _ in samples])
            step[name + "_in_bare"] = median([us / base for us, base in samples])
        self.sizes.append(step)
        self.check_sessions(count)

    # --- what must be so

    def check_sessions(self, count):
        counts = self.ctl("status")["counts"]
        self.scene.equal(f"{count} hubs: keyturnctl status: sessions, open operations",
                         (counts["sessions"], counts["openOps"]), (count + 1, 0))

    def check_work(self):
        committed, opened = set(), set()
        with open(self.scene.tmp + "/ledger/ledger.kt", "rb") as file:
            for line in file:
                record = json.loads(line[65:])
                if record["kind"] == "op.open":
                    opened.add((record["device"], record["op"]))
                elif record["kind"] == "commit" and (record["device"], record["op"]) in opened:
                    committed.add(record["fp"])
        self.scene.equal("each rotation is in the ledger, and each brought another certificate",
                         (len(opened), len(committed)), (self.rotations, self.rotations))
        rows = {row["device"]: row for row in self.ctl("list")["devices"]}
        bad = [device for device, generation in self.of.items()
               if not (rows[device]["online"] and rows[device]["generation"] == generation)]
        self.scene.check(f"keyturnctl list: {len(self.of)} hubs online, each of the generation that it was told to have",
                         len(self.of) == len(self.all) == len(rows) and not bad, f"{len(rows)} rows, bad: {bad[:3]}")
        report = self.fleet.report()
        self.scene.equal("no hub is lost: each says itself that it is in session",
                         sum(d["settled"] and d["generation"] == self.of[d["device"]] for d in report["devices"]), len(self.all))
        self.scene.equal("no failure at any hub", self.failures(report), {})

    def growth(self, name):
        """From the smallest size to the largest."""
        return self.sizes[-1][name] / self.sizes[0][name]

    def judge(self):
        sizes = f"among {self.sizes[-1]['hubs']} hubs, to that among {self.sizes[0]['hubs']}"
        for name, text in COSTS.items():
            self.at_most(f"{text}: cost {sizes}", self.growth(name + "_in_bare"), 1.0, FLAT)
        self.at_most(f"memory of a hub {sizes}", self.growth("memory_kib_each"), 1.0, FLAT_MEMORY)
        self.at_most(f"an idle hub: cost {sizes}", self.growth("idle_us_each_s"), 1.0, FLAT)

    def tell(self):
        print(f"scale: one broker, {self.sizes[0]['hubs']} to {self.sizes[-1]['hubs']} live hubs in "
              f"{len(self.fleet.processes)} processes; microseconds of the broker's processor for each hub (and in bare connects)")
        print(f"  {'hubs':>6}  {'connect':>16}  {'challenge':>16}  {'rotation':>18}  {'idle, a second':>14}  "
              f"{'memory':>10}  {'bare connect':>12}")
        for step in self.sizes:
            print(f"  {step['hubs']:6d}  {step['connect_us']:8.0f} ({step['connect_in_bare']:5.2f})  {step['challenge_us']:8.0f} "
                  f"({step['challenge_in_bare']:5.2f})  {step['rotation_us']:9.0f} ({step['rotation_in_bare']:6.2f})  "
                  f"{step['idle_us_each_s']:14.2f}  {step['memory_kib_each']:6.1f} KiB  {step['bare_us']:12.0f}")

    def run(self):
        total = len(self.all)
        for count in sorted({max(1, round(total * share)) for share in STEPS}):
            self.measure(count)
        self.check_work()
        self.judge()
        self.tell()
        self.write({"benchmark": "scale", "processes": len(self.fleet.processes), "sizes": rounded(self.sizes),
                    "rotations": self.rotations, "challenges": self.challenges})
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        self.scene.finish()


if __name__ == "__main__":
    Scale(options()).run()
