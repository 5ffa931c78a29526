"""Leads a fleet through a scenario, prints the figures, and checks that everybody came through.

Started by tests/fleet.sh, which made PKI, ledger and broker (KT_TMP, PORT, CLAIM_PORT, TD). The last line is
"N passed, N failed".
"""

import argparse
import json
import subprocess
import time

from figures import lines_of, rotations_of, with_rate
from processes import Fleet, cpu_s, rss_kib, wait
from scene import Scene

ROTATE_MAX = 1000   # devices that one command may name
BATCH_MAX = 100     # commands of one message
CHALLENGED_MAX = 500   # at a time: an answer that finds too many before it is told to come back
HABITS = ("offline", "slow", "lost", "clone")   # shares of the hubs that do not do as they should
ALARMS = ("clone.suspected", "clone.alarmed", "rotation.frozen", "rotation.failed", "rotation.closed", "session.contended",
          "promote.overdue", "challenge.missed", "registry.behind", "enroll.conflict")


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hubs", type=int, required=True)
    parser.add_argument("--scenario", choices=("enrol", "hold", "rotate", "storm"), required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    parser.add_argument("--broker-pid", type=int, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--ctl", required=True)
    parser.add_argument("--document", required=True)
    parser.add_argument("--drain", type=float, default=0.0)   # superseded_drain, in seconds
    for habit in HABITS:
        parser.add_argument("--" + habit, type=int, default=0)
    return parser.parse_args()


class Phase:
    """What broker and fleet used between its start and its end."""

    def __init__(self, drive):
        self.drive, self.began = drive, time.monotonic()
        self.broker, self.fleet = cpu_s(drive.args.broker_pid), drive.fleet.cpu_s()

    def end(self, count):
        """Milliseconds of processor for each of count."""
        count = max(count, 1)
        return {"seconds": round(time.monotonic() - self.began, 2),
                "broker_ms_each": round((cpu_s(self.drive.args.broker_pid) - self.broker) * 1000 / count, 3),
                "fleet_ms_each": round((self.drive.fleet.cpu_s() - self.fleet) * 1000 / count, 3)}


class Drive:
    def __init__(self, args):
        self.args, self.scene = args, Scene()
        self.devices = [f"bench-{i}" for i in range(args.hubs)]
        self.patience = 300 + args.hubs  # seconds; a machine that is busy otherwise gets there, too
        self.cpu, self.memory = {}, {"broker_start_kib": rss_kib(args.broker_pid)}
        self.fleet = None
        self.generation = 1
        self.habits = {habit: getattr(args, habit, 0) for habit in HABITS}

    # --- what an operator does

    def responses(self, commands):
        """To all of them, in their order."""
        return [response for i in range(0, len(commands), BATCH_MAX)
                for response in self.scene.operator(*commands[i:i + BATCH_MAX])]

    def must(self, commands):
        """The data of all responses, or an exception."""
        responses = self.responses(commands)
        bad = [response for response in responses if "error" in response]
        if bad:
            raise RuntimeError(f"{commands[0]}: {bad[0]}")
        return [response.get("data", {}) for response in responses]

    def write_tickets(self):
        path = self.scene.tmp + "/tickets"
        self.must([{"command": "createDevice", "device": device} for device in self.devices])
        tickets = self.must([{"command": "createTicket", "device": device} for device in self.devices])
        with open(path, "w") as file:
            file.writelines(ticket["ticket"] + "\n" for ticket in tickets)
        return path

    def order_rotation(self):
        """Of everybody; how many were refused."""
        refused = 0
        for i in range(0, len(self.devices), ROTATE_MAX):
            some = self.devices[i:i + ROTATE_MAX]
            answer = self.scene.command("rotate", devices=some, expect=len(some))
            refused += answer["refused"]
        self.generation += 1
        return refused

    def ctl(self, *arguments):
        done = subprocess.run([self.args.ctl, "--unix", self.scene.socket, "--json", "--timeout", "60s", *arguments],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90, check=False)
        return json.loads(done.stdout)

    # --- the fleet

    def start(self, source):
        args = ["--address", "127.0.0.1", "--port", str(self.scene.port), "--trust-domain", self.scene.td,
                "--root", self.scene.root, "--at-a-time", str(self.args.at_a_time)] + source
        args += [word for habit, share in self.habits.items() if share for word in ("--" + habit, str(share))]
        self.fleet = Fleet(self.args.program, self.args.hubs, args, self.scene.tmp + "/fleet.log")

    def is_settled(self, status):
        """All but who is offline."""
        present = self.args.hubs - status["absent"]
        return status["settled"] == present and status["generations"] == {str(self.generation): present}

    def wait_settled(self, name):
        status = wait(self.fleet.status, self.is_settled, self.patience)
        self.scene.check(name, self.is_settled(status), f"{status}\n    {self.counts()}")

    def counts(self):
        return self.fleet.report()["counts"]

    # --- scenarios

    def connect(self):
        self.start(["--identities", self.scene.tmp + "/identities"])
        phase = Phase(self)
        self.wait_settled("every hub is in session with the credential that it has")
        self.cpu["connect"] = phase.end(self.args.hubs)
        self.memory["broker_live_kib"] = rss_kib(self.args.broker_pid)
        self.memory["fleet_live_kib"] = self.fleet.rss_kib()

    def enrol(self):
        tickets = self.write_tickets()
        self.memory["broker_start_kib"] = rss_kib(self.args.broker_pid)
        self.start(["--tickets", tickets, "--claim-port", str(self.scene.claim_port)])
        phase = Phase(self)
        self.wait_settled("every hub has enrolled by its ticket and is in session")
        self.cpu["enrol"] = phase.end(self.args.hubs)
        self.memory["broker_live_kib"] = rss_kib(self.args.broker_pid)
        self.memory["fleet_live_kib"] = self.fleet.rss_kib()

    def hold(self):
        self.connect()
        phase = Phase(self)
        time.sleep(self.args.seconds)
        self.cpu["hold"] = phase.end(self.args.hubs)
        self.wait_settled(f"every hub is so after {self.args.seconds} seconds")
        self.challenge()

    def challenge(self):
        """Of everybody."""
        before, phase = self.events("challenge.answered"), Phase(self)
        refused = asked = answered = 0
        for i in range(0, len(self.devices), CHALLENGED_MAX):
            some = self.devices[i:i + CHALLENGED_MAX]
            refused += sum("error" in response for response in
                           self.responses([{"command": "challenge", "device": device} for device in some]))
            asked += len(some)
            answered = wait(lambda: self.events("challenge.answered") - before,
                            lambda count, wanted=asked - refused: count >= wanted, self.patience)
        self.scene.equal("no challenge is refused", refused, 0)
        self.cpu["challenge"] = phase.end(self.args.hubs)
        self.scene.equal("every hub has answered a challenge", answered, self.args.hubs)

    def rotate(self):
        self.connect()
        phase = Phase(self)
        refused = self.order_rotation()
        self.scene.equal("no order of a rotation is refused", refused, 0)
        self.wait_settled("every hub has rolled over, and is in session with the new credential alone")
        self.cpu["rotation"] = phase.end(self.args.hubs)

    def storm(self):
        """All connections are lost in one moment, and all hubs come back at once."""
        self.connect()
        phase = Phase(self)
        self.scene.equal("all connections are lost in one moment", self.fleet.drop()["settled"], 0)
        self.wait_settled("every hub is back, in session with the credential that it has")
        self.cpu["storm"] = phase.end(self.args.hubs)

    # --- what comes after the scenario, if it was asked for

    def latecomers(self):
        """Who was offline all the time comes, and has to do what the others did."""
        # by what the others say: who has not enrolled does not know its name
        absent = set(self.devices) - {d["device"] for d in self.fleet.report()["devices"] if not d["absent"]}
        rows = [row for row in self.ctl("list")["devices"] if row["device"] in absent]
        phase = "open" if self.args.scenario == "rotate" else "idle"
        generation = 0 if self.args.scenario == "enrol" else 1
        bad = [row for row in rows if (row["online"], row["phase"], row["generation"]) != (False, phase, generation)]
        self.scene.check(f"{len(absent)} hubs are offline, of generation {generation}, {phase}",
                         self.fleet.status()["absent"] == len(absent) == len(rows) > 0 and not bad,
                         f"{len(rows)} rows, {bad[:3]}")
        before = Phase(self)
        self.fleet.come()
        self.wait_settled("who was offline comes, and is where the others are")
        self.cpu["latecomers"] = before.end(len(absent))

    def copies(self):
        """A part of the hubs has a copy, made before they rolled over: it is shut out, and told of."""
        time.sleep(self.args.drain)  # until then it could be a program of the hub itself
        count = self.fleet.bring_copies()["copies"]
        status = wait(self.fleet.status, lambda seen: seen["copies_refused"] == count, self.patience)
        self.scene.check(f"each of {count} copies is refused", 0 < count == status["copies_refused"], status)
        devices = {copy["device"] for copy in self.fleet.report()["copies"] if copy["refused"] and not copy["settled"]}
        told = wait(lambda: self.devices_of("clone.alarmed"), lambda seen: seen == devices, self.patience)
        self.scene.check("an alarm names each of them, and nobody else", told == devices and len(devices) == count,
                         f"{len(told)} are named, of {len(devices)}")

    def devices_of(self, name):
        """Of whom the broker's log has this event."""
        with open(self.scene.log, errors="replace") as log:
            return {word.split("=", 1)[1] for line in log if f"event={name} " in line
                    for word in line.split() if word.startswith("device=")}

    # --- what must be so at the end

    def events(self, name):
        """How many lines of this event the broker's log has."""
        wanted, count = f"event={name} ", 0
        with open(self.scene.log, errors="replace") as log:
            for line in log:
                count += wanted in line or line.rstrip().endswith(f"event={name}")
        return count

    def check_broker(self):
        rows = self.ctl("list")["devices"]
        bad = [row for row in rows if not (row["state"] == "active" and row["phase"] == "idle" and row["online"] and
                                           row["generation"] == self.generation)]
        self.scene.check(f"keyturnctl list: {self.args.hubs} active, online, idle, of generation {self.generation}",
                         len(rows) == self.args.hubs and not bad, f"{len(rows)} rows, {len(bad)} bad: {bad[:3]}")
        status = self.ctl("status")
        counts = status["counts"]
        self.scene.equal("keyturnctl status: devices, sessions, open operations",
                         (counts["devices"], counts["active"], counts["sessions"], counts["openOps"]),
                         (self.args.hubs, self.args.hubs, self.args.hubs + 1, 0))
        of_copies = self.habits["clone"] > 0
        self.scene.equal("no refusals but of copies", {reason for reason, count in status["refusals"].items() if count},
                         {"cert.superseded"} if of_copies else set())
        self.scene.equal("no alarms but of copies", {name for name in ALARMS if self.events(name)},
                         {"clone.alarmed"} if of_copies else set())

    def check_hubs(self, report):
        hubs = {d["device"] for d in report["devices"] if d["settled"] and d["generation"] == self.generation}
        lost = [device for device in self.devices if device not in hubs]
        self.scene.check("no hub is lost: each says itself that it is in session with the newest generation", not lost,
                         f"{len(lost)}: {lost[:5]}")
        self.scene.equal("no failure at any hub", self.failures(report), {})
        for habit, count in (("lost", "lost.reply"), ("slow", "slow.thought")):
            if self.habits[habit]:
                self.scene.check(f"{habit}: it happened", report["counts"].get(count, 0) > 0, report["counts"])

    def failures(self, report):
        return {name: count for name, count in report["counts"].items() if name.startswith("failed.")}

    # --- the run

    def document(self, report):
        spans = {name: with_rate(s["us"], s["first_us"], s["last_us"]) for name, s in report["spans"].items()}
        self.memory["broker_peak_kib"] = rss_kib(self.args.broker_pid, "VmHWM")
        for who in ("broker", "fleet"):
            grown = self.memory[who + "_live_kib"] - (self.memory["broker_start_kib"] if who == "broker" else 0)
            self.memory[who + "_kib_each"] = round(grown / self.args.hubs, 1)
        return {"benchmark": "fleet", "scenario": self.args.scenario, "hubs": self.args.hubs,
                "processes": len(self.fleet.processes), "at_a_time": self.args.at_a_time,
                "connect": spans["connect"], "session": spans["session"], "enrolment": spans["enrol"],
                "rotation": rotations_of(self.scene.tmp + "/ledger/ledger.kt"),
                "rotation_at_hub": {"committed": spans["commit"], "promoted": spans["promote"]},
                "back": spans["back"], "shares": self.habits, "cpu": self.cpu, "memory": self.memory,
                "counts": report["counts"]}

    def tell(self, document):
        print(f"fleet: {document['scenario']}, {document['hubs']} hubs in {document['processes']} processes, "
              f"{document['at_a_time']} at a time in each")
        rotation, at_hub = document["rotation"], document["rotation_at_hub"]
        for name, figures in (("connect (TCP to CONNACK)", document["connect"]),
                              ("session (TCP to welcome)", document["session"]),
                              ("enrolment (start to committed)", document["enrolment"]),
                              ("rotation: opened to committed", rotation["opened_to_committed"]),
                              ("rotation: opened to promoted", rotation["opened_to_promoted"]),
                              ("at the hub: rotate to committed", at_hub["committed"]),
                              ("at the hub: rotate to noted", at_hub["promoted"]),
                              ("back (lost to settled)", document["back"])):
            if figures is not None:
                print(lines_of(name, figures))
        for name, cpu in document["cpu"].items():
            print(f"  {name:34} {cpu['seconds']:7.1f} s; CPU for each hub: broker {cpu['broker_ms_each']:.2f} ms, "
                  f"fleet {cpu['fleet_ms_each']:.2f} ms")
        if document["counts"]:
            print("  counted at the hubs: " + ", ".join(f"{name} {n}" for name, n in sorted(document["counts"].items())))
        memory = document["memory"]
        print(f"  {'memory of the broker':34} {memory['broker_start_kib']} KiB, with the fleet "
              f"{memory['broker_live_kib']}, at most {memory['broker_peak_kib']}: {memory['broker_kib_each']} a hub; "
              f"fleet {memory['fleet_kib_each']} a hub")

    def run(self):
        getattr(self, self.args.scenario)()
        if self.habits["offline"]:
            self.latecomers()
        if self.habits["clone"]:
            self.copies()
        self.check_broker()
        report = self.fleet.report()
        self.check_hubs(report)
        document = self.document(report)
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        with open(self.args.document, "w") as file:
            file.write(json.dumps(document) + "\n")
        self.tell(document)
        self.scene.finish()


if __name__ == "__main__":
    Drive(options()).run()
