"""Leads a campaign over a fleet on a real broker, and looks at it at every step.

Started by tests/campaign.sh, which made PKI and ledger (KT_TMP, PORT, TD). The last line is "N passed, N failed".
"""

import argparse
import json
import os
import struct
import subprocess
import time

from broker import Broker
from figures import lines_of, rotations_of, spread
from mqtt5 import Closed
from processes import Fleet, wait
from scene import Scene

NAME = "roll"
NAMED_MAX = 1000        # devices that one command may name
PAIR_RATE = 50          # messages a second of the two uninvolved clients
HOLD = struct.Struct("6Q")     # struct hold of tests/bench/bench_hold.c
FINAL = ("done", "failed", "silent", "skipped", "missed", "left")
HEALTHY = {"canary": "1%", "hold": "2s", "wave": "25%", "in-flight": "100", "rate": "60000", "deadline": "10m", "retries": "1",
           "failures": "2%", "silence": "5%", "until": "1h"}
FAILING = dict(HEALTHY, canary="1", hold="0", retries="0")


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hubs", type=int, required=True)
    parser.add_argument("--failing", type=int, default=0)
    parser.add_argument("--registered", type=int, default=0)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--build", required=True)
    parser.add_argument("--document", required=True)
    return parser.parse_args()


class Pair:
    """Two clients that mind their own business."""

    def __init__(self, drive):
        name = f"bench-{drive.args.hubs}"
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", f"{drive.args.build}/tests/bench_pair", str(drive.scene.port),
             f"{drive.scene.tmp}/identities/{drive.args.hubs}.pem", f"devices/{name}", str(PAIR_RATE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("bench_pair is not ready")

    def end(self):
        """How long each of their messages took."""
        self.process.stdin.close()
        document = json.loads(self.process.stdout.read())
        if self.process.wait(60) != 0:
            raise RuntimeError("bench_pair ended badly")
        return document["us"]


class Campaign:
    def __init__(self, args):
        self.args, self.scene = args, Scene()
        self.broker, self.fleet = Broker(self.scene), None
        self.hold_path = self.scene.tmp + "/hold"
        self.plan = dict(FAILING if args.failing else HEALTHY, sample=str(min(50, args.hubs // 5)))
        self.patience = 300 + args.hubs / 4
        self.most = {"ordered": 0}
        self.bad = []     # what was seen that may not be
        self.finals = {}  # device: the final state that it was seen in
        self.kills = 0
        self.document = {"benchmark": "campaign", "hubs": args.hubs, "failing": args.failing, "kill": args.kill,
                         "registered": args.registered}

    # --- the broker

    def start_broker(self):
        if not self.args.kill:
            os.environ["LD_AUDIT"] = f"{self.args.build}/tests/bench_hold.so"
            os.environ["KT_HOLD_FILE"], os.environ["KT_HOLD_PLUGIN"] = self.hold_path, "mosquitto_keyturn.so"
        self.broker.start()
        for name in ("LD_AUDIT", "KT_HOLD_FILE", "KT_HOLD_PLUGIN"):
            os.environ.pop(name, None)

    def zero_hold(self):
        with open(self.hold_path, "r+b") as file:
            file.write(bytes(os.path.getsize(self.hold_path)))

    def longest_hold(self):
        """Microseconds, of the callback that took longest: with what it waited for, and of processor alone."""
        with open(self.hold_path, "rb") as file:
            data = file.read()
        return tuple(max(HOLD.unpack_from(data, i * HOLD.size)[field] for i in range(len(data) // HOLD.size)) / 1000
                     for field in (2, 3))

    # --- the campaign

    def words(self, plan):
        return [f"{name}={value}" for name, value in plan.items()]

    def label(self):
        """The hubs of the fleet, and not the one whose name the two clients have."""
        devices = [f"bench-{i}" for i in range(self.args.hubs)]
        for i in range(0, len(devices), NAMED_MAX):
            some = devices[i:i + NAMED_MAX]
            self.scene.command("setDevice", devices=some, expect=len(some), addLabels=["fleet"])

    def begin(self):
        fields = {"campaign": NAME, "action": "rotate", "select": ["label=fleet"], "plan": self.words(self.plan)}
        meant = self.scene.command("beginCampaign", dryRun=True, **fields)
        self.scene.equal("the dry run says whom it means", (meant["devices"], len(meant["meant"])),
                         (self.args.hubs, min(self.args.hubs, 200)))
        begun = self.scene.command("beginCampaign", expect=self.args.hubs, **fields)
        self.scene.equal("it begins over all of the fleet", begun["devices"], self.args.hubs)
        self.document["canaries"], self.document["wave"] = begun["canaries"], begun["wave"]

    def row(self):
        return next(row for row in self.scene.command("listCampaigns")["campaigns"] if row["campaign"] == NAME)

    def members(self):
        """All of them, page by page: state by device."""
        found, offset = {}, 0
        while True:
            page = self.scene.command("getCampaign", campaign=NAME, offset=offset)
            found.update((member["device"], member["state"]) for member in page["members"])
            offset += len(page["members"])
            if offset >= page["total"] or not page["members"]:
                return found

    def look(self):
        """One look, and whether what it shows may be."""
        row = self.row()
        counts = row["counts"]
        self.most["ordered"] = max(self.most["ordered"], counts["ordered"])
        if sum(counts.values()) != self.args.hubs:
            self.bad.append(("members", counts))
        if counts["ordered"] > int(self.plan["in-flight"]):
            self.bad.append(("in flight", counts))
        return row

    def look_closely(self):
        """Whoever has a final state keeps it."""
        for device, state in self.members().items():
            known = self.finals.get(device)
            if known is not None and state != known:
                self.bad.append(("final", device, known, state))
            if state in FINAL:
                self.finals[device] = state

    def kill_at(self, row, share):
        """As a power cut, in the middle; and again."""
        if not self.args.kill or self.kills >= 2 or row["counts"]["done"] < self.args.hubs * share:
            return
        self.broker.kill()
        self.kills += 1
        self.broker.start()
        self.look_closely()

    def follow(self):
        """Until it has ended; what it was then."""
        end, next_close_look = time.monotonic() + self.patience, 0
        while time.monotonic() < end:
            row = self.look()
            if row["state"] == "ended":
                return row
            self.kill_at(row, 0.2 if self.kills == 0 else 0.6)
            if time.monotonic() > next_close_look:
                self.look_closely()
                next_close_look = time.monotonic() + 2
            time.sleep(0.1)
        return self.row()

    # --- what must be so at the end

    def check_always(self, row):
        self.look_closely()
        self.scene.equal("it has ended", row["state"], "ended")
        self.scene.equal("at every look: all are there, and never more under way than may be; who has an end keeps it", self.bad, [])
        self.scene.check(f"at most {self.plan['in-flight']} were under way, and more than one",
                         1 < self.most["ordered"] <= int(self.plan["in-flight"]), self.most)
        self.scene.equal("every device has exactly one end",
                         (len(self.finals), sum(row["counts"][state] for state in FINAL)), (self.args.hubs, self.args.hubs))
        self.scene.equal("no operation is open", self.scene.command("status")["counts"]["openOps"], 0)

    def check_healthy(self, row):
        self.scene.equal("it was not aborted", (row["aborted"], row.get("why")), (False, None))
        self.scene.equal("all are done", row["counts"]["done"], self.args.hubs)
        status = wait(self.fleet.status, lambda s: s["settled"] == self.args.hubs, self.patience)
        self.scene.equal("every hub is in session, of generation 2", (status["settled"], status["generations"]),
                         (self.args.hubs, {"2": self.args.hubs}))
        if self.args.kill:
            self.scene.equal("the broker was killed in the middle, twice", self.kills, 2)

    def check_failing(self, row):
        counts = row["counts"]
        ordered = counts["done"] + counts["failed"] + counts["silent"]
        self.scene.check("it was aborted, and says over which limit", row["aborted"] and row.get("why", "").startswith("failed: "), row)
        self.scene.check("within one wave", row["waves"] <= 1 and ordered <= self.document["canaries"] + self.document["wave"],
                         (row["waves"], ordered))
        over = counts["failed"] - int(self.plan["failures"].rstrip("%")) * ordered / 100
        self.scene.check("past its limit by no more than were under way", 0 < over <= int(self.plan["in-flight"]), counts)
        self.scene.equal("the others were left in peace", counts["left"], self.args.hubs - ordered)
        with open(self.scene.tmp + "/ledger/ledger.kt", "rb") as file:
            opened = sum(json.loads(line[65:])["kind"] == "op.open" for line in file)
        self.scene.equal("who was left had no order", opened, ordered)
        status = wait(self.fleet.status, lambda s: s["settled"] == self.args.hubs, self.patience)
        self.scene.equal("who failed is in session with what he had, as is who was left",
                         (status["settled"], status["generations"].get("1"), status["generations"].get("2")),
                         (self.args.hubs, self.args.hubs - counts["done"], counts["done"]))

    # --- over a hundred thousand that never come

    def wide(self):
        total = self.args.hubs + 1 + self.args.registered
        self.zero_hold()
        began = time.monotonic()
        begun = self.scene.command("beginCampaign", campaign="wide", action="rotate", all=True, expect=total,
                                   plan=["canary=1", "hold=0", "in-flight=50", "until=365d"])
        self.document["wide_begin_s"] = round(time.monotonic() - began, 2)
        self.scene.equal("another one over all that are registered", begun["devices"], total)
        rows = wait(lambda: {r["campaign"]: r for r in self.scene.command("listCampaigns")["campaigns"]},
                    lambda seen: seen["wide"]["counts"]["done"] >= self.args.hubs, self.patience)
        self.scene.equal("it finds those who are there", rows["wide"]["counts"]["done"], self.args.hubs)
        self.scene.command("abortCampaign", campaign="wide")
        self.document["wide_hold_us"], self.document["wide_hold_cpu_us"] = self.longest_hold()

    # --- the run

    def is_up(self):
        try:
            return bool(self.scene.operator({"command": "status"}))
        except (OSError, Closed):
            return False

    def start(self):
        self.start_broker()
        args = ["--address", "127.0.0.1", "--port", str(self.scene.port), "--trust-domain", self.scene.td,
                "--root", self.scene.root, "--at-a-time", "100", "--identities", self.scene.tmp + "/identities"]
        if self.args.failing:
            args += ["--failing", str(self.args.failing)]
        self.fleet = Fleet(f"{self.args.build}/tests/keyturn-fleet", self.args.hubs, args, self.scene.tmp + "/fleet.log")
        status = wait(self.fleet.status, lambda s: s["settled"] == self.args.hubs, self.patience)
        self.scene.equal("every hub is in session", status["settled"], self.args.hubs)
        self.label()

    def run(self):
        self.start()
        pair = None if self.args.kill else Pair(self)
        if pair is not None:
            self.zero_hold()
        began = time.monotonic()
        self.begin()
        row = self.follow()
        seconds = time.monotonic() - began
        self.document["seconds"] = round(seconds, 2)
        self.document["per_s"] = round(sum(row["counts"][state] for state in ("done", "failed")) / seconds, 1)
        if pair is not None:
            self.document["hold_us"], self.document["hold_cpu_us"] = self.longest_hold()
            self.document["others"] = spread(pair.end())
        self.document["rotation"] = rotations_of(self.scene.tmp + "/ledger/ledger.kt")
        self.document["counts"], self.document["most_ordered"] = row["counts"], self.most["ordered"]
        self.document["why"] = row.get("why")
        self.check_always(row)
        if self.args.failing:
            self.check_failing(row)
        else:
            self.check_healthy(row)
        if self.args.registered:
            self.wide()
        codes = self.fleet.quit()
        self.scene.check("every process of the fleet ends well", all(code == 0 for code in codes), codes)
        self.scene.equal("the broker ends as it should", self.broker.stop(), 0)
        with open(self.args.document, "w") as file:
            file.write(json.dumps(self.document) + "\n")
        self.tell()
        self.scene.finish()

    def hold_line(self, which):
        longest, of_processor = self.document[which + "hold_us"], self.document[which + "hold_cpu_us"]
        return f"  our longest call of the broker's loop {longest / 1000:.3f} ms, {of_processor / 1000:.3f} of processor"

    def tell(self):
        document = self.document
        print(f"campaign: {document['hubs']} hubs, {document['canaries']} canaries, waves of {document['wave']}: "
              f"{document['seconds']} s, {document['per_s']} devices a second, at most {document['most_ordered']} under way"
              + (f"; killed {self.kills} times" if self.kills else "") + (f"; {document['why']}" if document["why"] else ""))
        if document["rotation"]["opened_to_committed"]:
            print(lines_of("rotation: opened to committed", document["rotation"]["opened_to_committed"]))
        if "others" in document:
            print(lines_of("messages of others meanwhile", document["others"]))
            print(self.hold_line(""))
        if "wide_begin_s" in document:
            print(f"  over {document['hubs'] + 1 + document['registered']} devices: begun after {document['wide_begin_s']} s")
            print(self.hold_line("wide_"))


if __name__ == "__main__":
    Campaign(options()).run()
