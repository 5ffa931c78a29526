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
ALARMS = ("clone.suspected", "clone.alarmed", "rotation.frozen", "rotation.failed", "rotation.closed", "session.contended",
          "promote.overdue", "challenge.missed", "registry.behind", "enroll.conflict")


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hubs", type=int, required=True)
    parser.add_argument("--scenario", choices=("enrol", "hold", "rotate"), required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    parser.add_argument("--broker-pid", type=int, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--ctl", required=True)
    parser.add_argument("--document", required=True)
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
        self.fleet = Fleet(self.args.program, self.args.hubs, args, self.scene.tmp + "/fleet.log")

    def is_settled(self, status):
        return status["settled"] == self.args.hubs and status["generations"] == {str(self.generation): self.args.hubs}

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
        refused = sum("error" in response for response in
                      self.responses([{"command": "challenge", "device": device} for device in self.devices]))
        self.scene.equal("no challenge is refused", refused, 0)
        answered = wait(lambda: self.events("challenge.answered") - before,
                        lambda count: count >= self.args.hubs - refused, self.patience)
        self.cpu["challenge"] = phase.end(self.args.hubs)
        self.scene.equal("every hub has answered a challenge", answered, self.args.hubs)

    def rotate(self):
        self.connect()
        phase = Phase(self)
        refused = self.order_rotation()
        self.scene.equal("no order of a rotation is refused", refused, 0)
        self.wait_settled("every hub has rolled over, and is in session with the new credential alone")
        self.cpu["rotation"] = phase.end(self.args.hubs)

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
        self.scene.equal("no refusals", {k: v for k, v in status["refusals"].items() if v}, {})
        alarms = {name: self.events(name) for name in ALARMS}
        self.scene.equal("no alarms", {k: v for k, v in alarms.items() if v}, {})

    def check_hubs(self, report):
        hubs = {d["device"] for d in report["devices"] if d["settled"] and d["generation"] == self.generation}
        lost = [device for device in self.devices if device not in hubs]
        self.scene.check("no hub is lost: each says itself that it is in session with the newest generation", not lost,
                         f"{len(lost)}: {lost[:5]}")
        self.scene.equal("no failure at any hub", self.failures(report), {})

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
                "cpu": self.cpu, "memory": self.memory, "failures": self.failures(report)}

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
                              ("at the hub: rotate to noted", at_hub["promoted"])):
            if figures is not None:
                print(lines_of(name, figures))
        for name, cpu in document["cpu"].items():
            print(f"  {name:34} {cpu['seconds']:7.1f} s; CPU for each hub: broker {cpu['broker_ms_each']:.2f} ms, "
                  f"fleet {cpu['fleet_ms_each']:.2f} ms")
        memory = document["memory"]
        print(f"  {'memory of the broker':34} {memory['broker_start_kib']} KiB, with the fleet "
              f"{memory['broker_live_kib']}, at most {memory['broker_peak_kib']}: {memory['broker_kib_each']} a hub; "
              f"fleet {memory['fleet_kib_each']} a hub")

    def run(self):
        getattr(self, self.args.scenario)()
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
