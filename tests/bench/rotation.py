"""tests/bench/run.sh rotation: what a rotation costs the broker, beside the floor and beside what people would pick
instead.

Started by tests/bench/rotation.sh, which made PKI, identities and the brokers. A round is: the floor's parts, bare
connects, a rotation of the whole fleet, the peer's rotations, in turn forwards and backwards; what is judged are medians
of the rounds' ratios. The last line is "N passed, N failed".
"""

import json
import os
import pathlib
import subprocess
import threading
import time
from statistics import median

import measure
from figures import rotations_of
from grind import Grind
from measure import Used, rounded
from mqtt5 import Client, Closed, Timeout
from peer import Peer
from processes import wait

HANDSHAKES, SIGNATURES, VERIFICATIONS = 2, 7, 6  # of one rotation, see write_floor()
LEGS, RECORDS = 4, 2                             # of the bound
CPU_LIMIT, THREAD_LIMIT, BOUND_SHARE, PEER_RATE = 1.25, 1.1, 0.8, 10
AGENT_MS = 1000
FLOOR_ROUNDS, BARE_CONNECTS, BARE_AT_A_TIME, IDENTITIES = 300, 600, 16, 64
LEG_RATE, LEG_SECONDS = 400, 3
GRIND_HANDSHAKES = 40


def options():
    parser = measure.base_options()
    for name in ("hubs", "rounds", "agent-rotations", "peers", "grind-hubs"):
        parser.add_argument("--" + name, type=int, required=True)
    for name in ("keyturn", "bare", "grind", "peer"):
        parser.add_argument("--" + name, type=measure.place, default=None)
    parser.add_argument("--agent", required=True)            # its configuration
    parser.add_argument("--admin-port", type=int, default=0)  # of the peer's broker
    parser.add_argument("--cfssl", type=measure.place, default=None)
    args = parser.parse_args()
    return measure.finished(args, "rotation", args.hubs, args.keyturn[0], 8)


class Program(threading.Thread):
    """A program of the hub: publishes with the hub's credential of the moment, one message after the other, each until
    it is acknowledged; connects again when the broker ends its session."""

    def __init__(self, scene, device, identity):
        super().__init__(daemon=True)
        self.scene, self.device, self.identity = scene, device, identity
        self.acknowledged, self.worst, self.is_over, self.client = 0, 0, False, None

    def connect(self):
        client = Client(20)
        client.tls(self.scene.port, self.scene.root, self.identity)
        if client.connect(self.device) != 0:
            raise Closed("refused")
        self.client = client

    def run(self):
        tries = 0
        while not self.is_over:
            try:
                if self.client is None:
                    self.connect()
                self.client.publish(f"devices/{self.device}/reading", str(self.acknowledged))
                self.acknowledged += 1
                self.worst, tries = max(self.worst, tries), 0
                time.sleep(0.02)  # its pace
            except (Closed, Timeout):
                self.client, tries = None, tries + 1
        if self.client is not None:
            self.client.disconnect()


class Rotation(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.rounds = {name: [] for name in ("floor", "bare", "leg", "rotation", "seconds", "peer")}
        self.peer = Peer(args.top + "/peer", args.peer[1], args.admin_port, args.cfssl[1],
                         args.top + "/pki/issuing.pem", self.scene.root) if args.peer else None
        self.peer_turn = 0

    # --- the parts of a round

    def measure_floor(self, _):
        args = self.args
        self.rounds["floor"].append(self.result(self.program(
            "bench_floor", "all", args.top + "/pki", args.top + "/keyturn/identities", min(args.hubs, IDENTITIES),
            FLOOR_ROUNDS, args.top)))

    def measure_bare(self, _):
        pid, port = self.args.bare
        used = Used(pid)
        storm = self.result(self.program("bench_storm", "flat_out", port, self.args.top + "/keyturn/identities",
                                         min(self.args.hubs, IDENTITIES), BARE_CONNECTS, BARE_AT_A_TIME))
        if storm["let_in"] != storm["made"] or storm["made"] == 0:
            raise RuntimeError(f"bare connects: {storm}")
        connect = used.total_us() / storm["made"]
        used, count = Used(pid), LEG_RATE * LEG_SECONDS
        pair = self.result(self.program("bench_abuse", "pair", port, self.args.top + "/keyturn/identities/0.pem",
                                        "devices/bench-0", LEG_RATE, LEG_SECONDS))
        if len(pair["us"]) != count:
            raise RuntimeError("a message was not delivered")
        self.rounds["bare"].append(connect)
        self.rounds["leg"].append(max(0.0, used.total_us() - 2 * connect) / (2 * count))

    def rotate_all(self, turn):
        used, began = Used(self.args.broker_pid), time.monotonic()
        self.scene.equal(f"round {turn}: no order of a rotation is refused", self.order_rotation(), 0)
        self.wait_settled(f"round {turn}: every hub has rolled over, and is in session with the new credential alone")
        self.rounds["seconds"].append(time.monotonic() - began)
        self.rounds["rotation"].append({name: us / self.args.hubs for name, us in used.us().items()})

    def measure_peer(self, _):
        if self.peer is None:
            return
        used = [Used(pid) for pid in (self.args.peer[0], self.args.cfssl[0])]
        for i in range(self.args.peers):
            self.peer.move(i, self.peer_turn)
        self.peer_turn += 1
        self.rounds["peer"].append([u.total_us() / self.args.peers for u in used])

    # --- one hub alone

    def rotate_agent(self):
        """The real agent on an idle broker, beside a program that publishes with its credential."""
        ticket = self.args.agent + "/ticket"
        self.must([{"command": "createDevice", "device": "real-hub"}])
        with open(os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.must([{"command": "createTicket", "device": "real-hub"}])[0]["ticket"] + "\n")
        with open(self.args.agent + "/agent.log", "ab") as log:
            agent = subprocess.Popen([self.args.build + "/keyturn-agent", "run", "-c", self.args.agent + "/agent.conf"],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ledger, device = self.scene.tmp + "/ledger/ledger.kt", "real-hub"
        identity = self.args.agent + "/state/current/identity.pem"
        online = lambda: [row for row in self.ctl("list")["devices"] if row["device"] == device and row["online"]]
        self.scene.check("the real agent has enrolled and is in session",
                         wait(lambda: os.path.exists(identity) and online(), lambda rows: rows and rows[0]["phase"] == "idle",
                              60), "it is not there")
        program = Program(self.scene, device, identity)
        program.start()
        for turn in range(self.args.agent_rotations):
            # one rotation, not one on the heels of another: the hub is back on the connection that it keeps
            wait(lambda: pathlib.Path(self.args.agent, "agent.log").read_text().count("event=link.up link=agent"),
                 lambda n: n > turn, 60)
            self.scene.command("rotate", devices=[device], expect=1)
            wait(lambda: (rotations_of(ledger)["opened_to_promoted"] or {"count": 0})["count"], lambda n: n > turn, 60)
        seen = program.acknowledged
        wait(lambda: program.acknowledged, lambda n: n >= seen + 10, 60)
        program.is_over = True
        program.join(60)
        agent.terminate()
        self.scene.equal("the real agent ends as it should", agent.wait(30), 0)
        return program, rotations_of(ledger)

    def judge_agent(self, program, rotations):
        count = (rotations["opened_to_promoted"] or {"count": 0})["count"]
        self.scene.equal("the real agent's rotations, as the ledger has them", count, self.args.agent_rotations)
        p50 = (rotations["opened_to_promoted"] or {"p50_ms": float("inf")})["p50_ms"]
        self.scene.check(f"the real agent: a rotation, opened to promoted, takes less than {AGENT_MS} ms at the median "
                         f"({p50})", p50 < AGENT_MS, f"{p50} ms")
        self.scene.check(f"no message of its program is lost, or delayed by more than one reconnect ({program.acknowledged} "
                         "messages)", program.acknowledged > 0 and program.worst <= 1, f"{program.worst} in a row")

    # --- instructions

    def grind(self):
        """Of a fleet of a few hubs; the parts of the broker's thread. And one handshake alone, for the server."""
        args, out = self.args, self.args.top + "/grind.callgrind"
        os.environ.update(KT_TMP=args.top + "/grind", PORT=str(args.grind[1]))
        few = measure.Bench(measure.finished(options(), "grind", args.grind_hubs, args.grind[0], 4))
        grind = Grind(args.grind[0], out)
        few.connect()
        few.order_rotation()  # everything has been used once
        few.wait_settled("under callgrind: every hub has rolled over")
        grind.begin()
        few.order_rotation()
        few.wait_settled("under callgrind: every hub has rolled over once more")
        counted = grind.end()
        few.fleet.quit()
        self.scene.passed, self.scene.failed = self.scene.passed + few.scene.passed, self.scene.failed + few.scene.failed
        each = {name: count / args.grind_hubs for name, count in counted.items()}
        each["handshake"] = self.grind_handshake()
        return each

    def grind_handshake(self):
        out = self.args.top + "/handshake.callgrind"
        command = ["valgrind", "--tool=callgrind", "--quiet", "--collect-atstart=no", f"--callgrind-out-file={out}"]
        command += [f"--toggle-collect={name}" for name in ("serve", "serve_begin", "serve_end")]
        command += [self.args.build + "/tests/bench_floor", "handshake", self.args.top + "/pki",
                    self.args.top + "/keyturn/identities", str(min(self.args.hubs, IDENTITIES)), str(GRIND_HANDSHAKES)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=600)
        with open(out) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("totals:")) / GRIND_HANDSHAKES

    # --- figures

    def floors(self):
        """Of each round, in microseconds: what the cryptography of one rotation costs at least.

        Connects: the trial and the new :agent, each a full handshake. The plugin signs rotate, cert, welcome, committed,
        welcome, noted, and the certificate; it verifies csr, the request in it, hello, confirm, hello, promoted.
        """
        return [{"handshakes": HANDSHAKES * f["handshake"],
                 "signatures": SIGNATURES * f["sign"] + VERIFICATIONS * f["verify"]} for f in self.rounds["floor"]]

    def bounds(self, connects):
        """PERFORMANCE section 10, with this run's figures: connect, request and old key verified, certificate signed and
        read, messages, records."""
        return [connects * bare + 2 * f["openssl_verify"] + f["openssl_sign"] + f["der"] + LEGS * leg + RECORDS * f["record"]
                for bare, leg, f in zip(self.rounds["bare"], self.rounds["leg"], self.rounds["floor"])]

    def summary(self, instructions):
        totals = [sum(threads.values()) for threads in self.rounds["rotation"]]
        floors, names = self.floors(), sorted({name for threads in self.rounds["rotation"] for name in threads})
        floor = [f["handshakes"] + f["signatures"] for f in floors]
        ratios = lambda a, b: median([x / y for x, y in zip(a, b)])
        peer = [sum(parts) for parts in self.rounds["peer"]]
        threads = {name: median([t.get(name, 0.0) for t in self.rounds["rotation"]]) for name in names}
        handshakes = HANDSHAKES * instructions["handshake"]
        split = {"handshakes": median([f["handshakes"] for f in floors]), "crypto": threads.get("keyturn-worker", 0.0),
                 "store": threads.get("keyturn-ledger", 0.0)}
        split["rest"] = sum(threads.values()) - sum(split.values())
        return {"split_us": split, "cpu_us": median(totals), "threads_us": threads, "wall_per_s": self.args.hubs / median(self.rounds["seconds"]),
                "per_cpu_s": 1e6 / median(totals),
                "floor_us": {"handshakes": median([f["handshakes"] for f in floors]),
                             "signatures": median([f["signatures"] for f in floors]), "all": median(floor)},
                "primitives_us": {name: median([f[name] for f in self.rounds["floor"]]) for name in self.rounds["floor"][0]},
                "to_floor": ratios(totals, floor),
                "bare_connect_us": median(self.rounds["bare"]), "leg_us": median(self.rounds["leg"]),
                "broker_thread_to_bare_connects": ratios([t["broker"] for t in self.rounds["rotation"]],
                                                         [HANDSHAKES * us for us in self.rounds["bare"]]),
                "bound_us": median(self.bounds(HANDSHAKES)), "of_bound": ratios(self.bounds(HANDSHAKES), totals),
                "bound_one_connect_us": median(self.bounds(1)), "of_bound_one_connect": ratios(self.bounds(1), totals),
                "peer_us": {"dynsec": median([p[0] for p in self.rounds["peer"]]),
                            "cfssl": median([p[1] for p in self.rounds["peer"]])} if peer else None,
                "to_peer": ratios(peer, totals) if peer else None,
                "instructions": {**instructions, "handshakes": handshakes,
                                 "rest": instructions["broker"] - handshakes - instructions["ours"]},
                "broker_thread_to_handshakes_in_memory": ratios([t["broker"] for t in self.rounds["rotation"]],
                                                                [f["handshakes"] for f in floors]),
                "thread_to_handshakes": instructions["broker"] / handshakes}

    def judge(self, s):
        self.at_most("the broker's processor time of a rotation, to the floor", s["to_floor"], 1.0, CPU_LIMIT)
        self.at_most("instructions of the broker's thread, to those of its handshakes", s["thread_to_handshakes"], 1.0,
                     THREAD_LIMIT)
        self.at_most("processor time of the broker's thread, to as many bare connects", s["broker_thread_to_bare_connects"],
                     1.0, THREAD_LIMIT)
        self.at_least("rotations for each second of processor, to the bound with the protocol's two connects", s["of_bound"],
                      BOUND_SHARE)
        if s["to_peer"] is not None:
            self.at_least("rotations for each second of processor, to cfssl and dynamic-security", s["to_peer"], PEER_RATE)

    def check_rotations(self):
        """Did all of them happen? By the ledger, the registry and the hubs."""
        rotations = self.args.hubs * self.args.rounds
        opened, fingerprints = set(), set()
        with open(self.scene.tmp + "/ledger/ledger.kt", "rb") as file:
            for line in file:
                record = json.loads(line[65:])
                if not record.get("device", "").startswith("bench-"):
                    continue
                if record["kind"] == "op.open":
                    opened.add((record["device"], record["op"]))
                elif record["kind"] == "commit" and (record["device"], record["op"]) in opened:
                    fingerprints.add(record["fp"])
        self.scene.equal("each rotation is in the ledger, and each brought another certificate",
                         (len(opened), len(fingerprints)), (rotations, rotations))
        rows = [row for row in self.ctl("list")["devices"] if row["device"].startswith("bench-")]
        self.scene.equal("every hub is online, idle, of the newest generation",
                         sum(row["online"] and row["phase"] == "idle" and row["generation"] == self.generation for row in rows),
                         self.args.hubs)
        self.check_hubs(self.fleet.report())
        self.scene.check("the plugin's threads have names and worked",
                         all(t.get(name, 0) > 0 for t in self.rounds["rotation"] for name in
                             ("broker", "keyturn-worker", "keyturn-ledger")), self.rounds["rotation"])
        if self.peer is not None:
            self.scene.equal("the peer has noted each of its new certificates",
                             self.peer.kept(self.args.top + "/peer/dynamic-security.json"), self.args.peers)

    def tell(self, s, agent):
        threads, floor = s["threads_us"], s["floor_us"]
        print(f"rotation: {self.args.hubs} hubs, {self.args.rounds} rounds; microseconds of processor for each rotation")
        print(f"  {'broker process':44} {s['cpu_us']:9.0f}   " +
              ", ".join(f"{name} {us:.0f}" for name, us in threads.items()))
        print(f"  {'':44} {'':9}   TLS handshakes {s['split_us']['handshakes']:.0f}, our crypto {s['split_us']['crypto']:.0f}, "
              f"store {s['split_us']['store']:.0f}, the rest {s['split_us']['rest']:.0f}")
        print(f"  {'floor: two handshakes, 7 signatures, 6 checks':44} {floor['all']:9.0f}   handshakes "
              f"{floor['handshakes']:.0f}, signatures {floor['signatures']:.0f}; ratio {s['to_floor']:.3f}")
        print(f"  {'bound of one core, two connects':44} {s['bound_us']:9.0f}   of it {s['of_bound']:.3f}; with one connect "
              f"{s['bound_one_connect_us']:.0f}, of it {s['of_bound_one_connect']:.3f}")
        print(f"  {'bare mTLS connect':44} {s['bare_connect_us']:9.0f}   broker's thread to two of them "
              f"{s['broker_thread_to_bare_connects']:.3f}, to two handshakes in memory "
              f"{s['broker_thread_to_handshakes_in_memory']:.3f}")
        if s["peer_us"]:
            print(f"  {'cfssl and dynamic-security':44} {sum(s['peer_us'].values()):9.0f}   dynamic-security "
                  f"{s['peer_us']['dynsec']:.0f}, cfssl {s['peer_us']['cfssl']:.0f}; ratio {s['to_peer']:.1f}")
        else:
            print("  cfssl is not to be had in this release: the peer is not measured")
        counts = s["instructions"]
        print(f"  {'instructions of the broker thread':44} {counts['broker']:9.0f}   handshakes {counts['handshakes']:.0f}, ours "
              f"{counts['ours']:.0f}, rest {counts['rest']:.0f}; to the handshakes {s['thread_to_handshakes']:.3f}")
        print(f"  rotations: {s['wall_per_s']:.1f} a second, fleet and broker on the same processors; {s['per_cpu_s']:.1f} for "
              f"each second of the broker process")
        print(f"  the real agent alone: opened to promoted p50 {agent['opened_to_promoted']['p50_ms']} ms, max "
              f"{agent['opened_to_promoted']['max_ms']} ms")

    def run(self):
        program, agent = self.rotate_agent()
        self.judge_agent(program, agent)
        self.connect()
        parts = [self.measure_floor, self.measure_bare, self.rotate_all, self.measure_peer]
        for turn in range(self.args.rounds):
            for part in parts if turn % 2 == 0 else reversed(parts):
                part(turn)
        self.check_rotations()
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        summary = self.summary(self.grind())
        self.judge(summary)
        self.tell(summary, agent)
        self.write({"benchmark": "rotation", "hubs": self.args.hubs, "rounds": self.args.rounds, **rounded(summary),
                    "agent": {**agent, "messages": program.acknowledged}})
        self.scene.finish()


if __name__ == "__main__":
    Rotation(options()).run()
