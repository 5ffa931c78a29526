"""tests/crash.sh broker: enrolment, rotation and a revoke, the broker killed at every call that counts.

For each point the same prepared fleet: hub-r (in session, to be rotated), hub-v (to be revoked), hub-e (to be enrolled
by a ticket). The broker starts with the shim and is killed in place of its n-th call, its own start included; it is
started again as it always is, and all that had been answered must still be so.
"""

import os
import shutil
import sys
import time

from place import Closed, Failed, Hub, Place, Timeout, need, wait_until
from report import Report, workers

SLOW_MS = 5  # a disk that takes its time: an answer that does not wait for it is out before the kill


class Point:
    """One life of the fleet."""

    def __init__(self, place, rotated, revoked_pem, n):
        self.place, self.rotated, self.revoked_pem = place, rotated, revoked_pem
        self.facts = {}  # what was answered
        self.recovery_s = 0.0
        self.deaths = 0
        self.enrolling = Hub(place, "hub-e")
        begin = place.launch(place.shim.env(n, slow_ms=SLOW_MS))
        wait_until("the broker's start or end", lambda: place.is_serving(begin) or not place.broker.is_running())
        self.mind()

    # --- the broker may be gone at any moment

    def mind(self):
        """Starts a dead broker, and asks it what it still knows."""
        if self.place.broker.is_running():
            return
        need(self.place.shim.hit() is not None and self.deaths == 0, "the broker ended by itself")
        self.deaths += 1
        began = time.monotonic()
        self.place.start()
        self.recovery_s = time.monotonic() - began
        self.check_facts()

    def insist(self, fact, name, is_there=None, **fields):
        """A command until it is answered; the answer is a fact. is_there: says whether a lost answer was a yes."""
        was_lost = False
        while fact not in self.facts:
            try:
                self.facts[fact] = self.place.ask(name, **fields)
            except (OSError, Closed, Timeout, AssertionError):
                wait_until("the broker's end", lambda: not self.place.broker.is_running())
                was_lost = True
                self.mind()
            except Failed:
                if not (was_lost and is_there and is_there()):
                    raise
                self.facts[fact] = {}

    def device(self, name):
        return self.place.ask("getDevice", device=name)

    # --- what must hold

    def check_facts(self):
        """Facts lost are failures of their own."""
        record = self.rotated.record()
        done_op = record["active"]["op"]
        rotated = self.device(self.rotated.name)
        op = self.facts.get("rotate", {}).get("op")
        need(op is None or int(rotated["lastOp"]) >= int(op), f"fact: rotate {op} was answered, lastOp {rotated['lastOp']}")
        need(int(rotated.get("committedOp", "0")) >= int(done_op), f"fact: the hub saw {done_op} committed: {rotated}")
        need(record["step"] != "none" or int(rotated.get("promotedOp", "0")) >= int(done_op),
             f"fact: promoted {done_op} was noted: {rotated}")
        if "create" in self.facts:
            need(self.place.error_of("getDevice", device="hub-e") is None, "fact: hub-e was created")
        if self.enrolling.record().get("phase") == "stable":
            need(self.device("hub-e")["state"] == "active", "fact: hub-e saw its enrolment committed")
        if "revoke" in self.facts:
            self.check_revoked()
        if record["phase"] == "stable" and "old" in self.facts and int(done_op) > int(self.facts["old"]):
            self.check_old()

    def check_revoked(self):
        need(self.device("hub-v")["state"] == "revoked", "fact: the revoke was answered")
        for client_id in ("hub-v", "hub-v:agent", "hub-v:trial"):
            need(self.place.is_refused(client_id, self.revoked_pem), f"retired: revoked, and gets in as {client_id}")

    def check_old(self):
        old = self.rotated.dir + "/old.pem"
        need(self.place.is_refused("hub-r:agent", old), "retired: the superseded key gets in")

    # --- the story

    def is_over(self):
        self.mind()
        op = self.facts["rotate"].get("op", "0")
        return (self.rotated.is_done(op) and self.rotated.record()["active"]["op"] != self.facts["old"] and
                self.rotated.is_in_session() and not self.enrolling.agent.is_running())

    def play(self):
        self.facts["old"] = self.rotated.record()["active"]["op"]
        self.rotated.keep_identity()
        self.rotated.run()
        self.insist("create", "createDevice", lambda: True, device="hub-e")
        self.insist("ticket", "createTicket", device="hub-e")
        self.enrolling.save_ticket(self.facts["ticket"]["ticket"])
        self.enrolling.enroll()
        self.insist("rotate", "rotate", lambda: self.device("hub-r")["phase"] != "idle", device="hub-r")
        self.insist("revoke", "revoke", lambda: self.device("hub-v")["state"] == "revoked", device="hub-v",
                    emergency=True)
        wait_until("enrolment and rotation", self.is_over)
        self.place.shim.switch_off()
        if self.place.shim.hit() and self.deaths == 0:
            self.place.broker.wait()
        self.mind()
        need(self.enrolling.agent.wait() == 0, "fact: hub-e does not enrol with the ticket that was answered: " +
             self.enrolling.last_lines())
        self.check_facts()
        self.rotated.need_working(self.device("hub-r"))
        self.rotated.need_clean()
        enrolled = self.device("hub-e")
        self.enrolling.need_working(enrolled)
        self.enrolling.need_clean()
        for hub in (self.rotated, self.enrolling):
            need(self.place.code_as(hub.name, hub.identity()) == 0, f"{hub.name} is not let in")

    def end(self):
        for hub in (self.rotated, self.enrolling):
            if hub.agent is not None and hub.agent.is_running():
                hub.agent.kill()
        if self.place.broker.is_running():
            self.place.broker.kill()


def prepare(place):
    """The fleet as each point finds it; the revoked one's credential."""
    place.start()
    rotated = Hub(place, "hub-r").enrolled()
    revoked = Hub(place, "hub-v").enrolled()
    pem = revoked.keep_identity("kept.pem")
    place.broker.stop()
    for path in (place.tmp, rotated.dir):
        shutil.copytree(path + "/world", path + "/world.kept", symlinks=True)
    return rotated, pem


def restore(place, rotated):
    for path in (place.tmp, rotated.dir):
        shutil.rmtree(path + "/world")
        shutil.copytree(path + "/world.kept", path + "/world", symlinks=True)
    shutil.rmtree(place.tmp + "/hub-e", ignore_errors=True)


def run(index, count, put, tmp, every):
    place = Place(f"{tmp}/place-{index}")
    rotated, pem = prepare(place)
    n = 1 + index * every
    while True:
        restore(place, rotated)
        item = {"n": n, "kind": None}
        point = None
        try:
            point = Point(place, rotated, pem, n)
            point.play()
            item["took"] = point.recovery_s
        except (Failed, OSError, AssertionError, Closed, Timeout, KeyError) as error:
            item["error"] = f"{type(error).__name__}: {error}"
            item["log"] = place.log_from(max(0, place.log_size() - 2500))
        item["kind"], item["calls"] = place.shim.hit(), place.shim.count()
        put(item)
        if point is not None:
            point.end()
        elif place.broker.is_running():
            place.broker.kill()
        if item["kind"] is None:
            return
        n += count * every


def main():
    tmp, every, jobs, is_json = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "json"
    report = Report("broker", is_json)
    points = calls = 0
    kinds = {}
    for item in workers(jobs, run, tmp, every):
        name = f"broker, kill at call {item.get('n')} ({item.get('kind')})"
        if "broken" in item:
            report.bad("broker: a worker broke off", "other_failures", item["broken"])
            continue
        if item["kind"] is not None:
            points += 1
            kinds[item["kind"]] = kinds.get(item["kind"], 0) + 1
        else:
            calls = max(calls, item["calls"])
        if "error" in item:
            kind = {"fact": "facts_lost", "retired": "retired_accepted"}.get(
                item["error"].partition(": ")[2].partition(":")[0], "lockouts")
            report.bad(name, kind, item["error"] + "\n" + item["log"])
        else:
            report.good()
            report.took(name, item["took"])
    report.figures = {"points": points, "calls_of_a_life": calls, "states": 0}
    report.say("hit: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    report.check("points were hit", points > 0)
    report.finish()


main()
