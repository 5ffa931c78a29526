"""tests/crash.sh power: what a power cut can leave, opened by the real programs.

A hub's whole life is recorded on both sides: enrolment, seven rotations; on the broker's also a revoke and a deletion;
once undisturbed, once with kills on the way.
From each log the states are made (cut_states.py), and agent_probe and store_probe open them as agent and plugin do.
What must hold is read from the messages that had left before the cut: whoever heard them relies on them. Of a sample
the real agent, against a broker of that moment, and the real broker are started.
"""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cut_states import SEED, History, remove
from marks import Marks, unb64u
from place import BUILD, TD, Failed, Hub, Place, need, wait_until
from report import Report, workers

MODELS = ("posix", "ordered")
BATCH = 64
SLOW_MS = 5  # the recorded disk takes its time: what does not wait for it is seen
DIES_ENROLLING = 70  # in place of these calls
DIES_ROTATING = (35, 48, 61, 74, 87, 96, 108)
AGENT_STARTS, BROKER_STARTS = 50, 20  # real ones, of each worker
ACKS = {"createDevice": "device.create", "createTicket": "ticket.create", "revoke": "revoke",
        "deleteDevice": "device.delete"}


# --- recording

class Recording:
    """One life of a hub and its broker, in a place of its own.

    deaths: both are killed again and again on the way, so that what recovery does is cut short as well."""

    def __init__(self, tmp, deaths):
        self.deaths = deaths
        self.place = Place(tmp)
        self.hub = Hub(self.place, "hub-1")
        self.logs = {"agent": tmp + "/agent.calls", "broker": tmp + "/broker.calls"}
        self.place.start(self.place.shim.env(log=self.logs["broker"], slow_ms=SLOW_MS))
        self._play()
        self.place.broker.stop()
        self.agent = History(self.logs["agent"], self.hub.dir + "/world", Marks(), 8, 24)
        self.plugin = History(self.logs["broker"], tmp + "/world", Marks(), 1, 4)

    def _enroll(self):
        hub, log = self.hub, self.logs["agent"]
        hub.place.ask("createDevice", device=hub.name)
        hub.save_ticket(hub.place.ask("createTicket", device=hub.name)["ticket"])
        if self.deaths:
            hub.enroll(hub.shim.env(DIES_ENROLLING, log=log))
            hub.agent.wait()
            need(hub.shim.hit() is not None, "the recorded hub enrolled before its death")
        hub.enroll(hub.shim.env(log=log))
        need(hub.agent.wait() == 0, "the recorded hub does not enrol: " + hub.last_lines())

    def _rotate(self, n):
        """With a death in it where there are deaths."""
        place, hub, log = self.place, self.hub, self.logs["agent"]
        op = place.ask("rotate", device=hub.name)["op"]
        if self.deaths:
            hub.agent.stop()
            hub.run(hub.shim.env(DIES_ROTATING[n], log=log))
            hub.agent.wait()
            hub.run(hub.shim.env(log=log))
        wait_until("the recorded rotation", lambda: hub.is_done(op), log=hub.last_lines)
        wait_until("a session", hub.is_in_session)
        if self.deaths and n % 2:
            place.broker.kill()
            place.start(place.shim.env(log=self.logs["broker"], slow_ms=SLOW_MS))

    def _play(self):
        place, hub = self.place, self.hub
        self._enroll()
        hub.run(hub.shim.env(log=self.logs["agent"]))
        wait_until("a session", hub.is_in_session)
        for n in range(len(DIES_ROTATING)):
            self._rotate(n)
        hub.agent.stop()
        other = Hub(place, "hub-2").enrolled()
        place.ask("revoke", device=other.name, emergency=True)
        place.ask("deleteDevice", device=other.name)


# --- what must hold on the hub

class HubOwes:
    """What has left the hub so far, and so what it must still have."""

    def __init__(self):
        self.keys = {}  # op ("0": enrolment) -> key id of the CSR that left
        self.confirmed = []  # (op, fp)
        self.promoted = []

    def hear(self, message):
        kind = message.get("type")
        if kind in ("csr", "enroll"):
            csr = x509.load_der_x509_csr(unb64u(message["csr"]))
            spki = csr.public_key().public_bytes(serialization.Encoding.DER,
                                                 serialization.PublicFormat.SubjectPublicKeyInfo)
            self.keys[message.get("op", "0")] = hashlib.sha256(spki).hexdigest()
        elif kind == "confirm" and (message["op"], message["fp"]) not in self.confirmed:
            self.confirmed.append((message["op"], message["fp"]))
        elif kind == "promoted" and message["op"] not in self.promoted:
            self.promoted.append(message["op"])

    def copy(self):
        other = HubOwes()
        other.keys, other.confirmed, other.promoted = dict(self.keys), list(self.confirmed), list(self.promoted)
        return other

    def judge(self, answer, disk, keys_on_disk):
        """Raises Failed with what is wrong. keys_on_disk: private keys by the op of their directory."""
        need("died" not in answer, f"unreadable: the probe died: {answer}")
        first, second = answer["first"], answer["second"]
        need(first["err"] == "ok" and second["err"] == "ok", f"unreadable: {first['err']} {first['why']}, "
             f"{second['err']} {second['why']}")
        need(first["why"] == "", f"unreadable: left undone: {first['why']}")
        first.pop("why"), second.pop("why")
        need(first == second, f"unreadable: opened twice: {first} {second}")
        usable = {slot["fp"] for slot in (first["active"], first["pending"]) if slot["hasCert"]}
        keys = {slot["key"] for slot in (first["active"], first["pending"]) if slot["hasKey"]}
        if self.confirmed:
            # from here on the server may have committed it; until then it accepts the one before
            need(self.confirmed[-1][1] in usable, f"lockout: {self.confirmed[-1]} is not among {usable}")
        if self.keys:
            newest = max(self.keys, key=int)
            need(self.keys[newest] in keys, f"lost: the csr of op {newest} had left, its key is not held")
        if self.promoted:
            op = max(self.promoted, key=int)
            need(int(first["active"]["op"]) >= int(op), f"lost: promoted {op} had left, active is {first['active']}")
            old = [pem for at, pem in keys_on_disk.items() if op in keys_on_disk and int(at) < int(op)]
            for path, inode in disk.walk():
                content = disk.content.get(inode, b"")
                need(not any(pem in content for pem in old), f"retired: {path} has a key after promoted {op}")


def keys_of(history):
    """The private keys that ever lay there: {directory's number: the key's text}."""
    found = {}
    directories = {}
    for step in history.steps:
        if step.what in ("add", "move") and re.fullmatch(r"\d+(\.tmp)?", step.name2 or step.name or ""):
            directories[step.inode] = (step.name2 or step.name).partition(".")[0]
    parents = {step.inode: step.directory for step in history.steps if step.what == "add"}
    for step in history.steps:
        text = re.search(rb"-----BEGIN PRIVATE KEY-----\n(.*)-----END", step.data, re.S) if step.what == "write" else None
        if text:
            found[directories[parents[step.inode]]] = text.group(1)[60:]  # what is not the same in all keys
    return found


# --- what must hold in the registry

def lines_of(history):
    """The ledger as it is at the end: [(hash, record)], seq 1 first."""
    disk = history.disk
    text = disk.content[disk.find(["ledger", "ledger.kt"])].decode()
    return [(line[:64], json.loads(line[65:])) for line in text.splitlines()]


class PluginOwes:
    """The highest record that an answer which has left rests on."""

    def __init__(self, lines):
        self.lines, self.seq, self.asked = lines, 0, {}

    def _rests_on(self, kind, **fields):
        for _, record in self.lines:
            if record["kind"] == kind and all(record.get(name) == value for name, value in fields.items()):
                self.seq = max(self.seq, int(record["seq"]))
                return
        raise Failed(f"an answer rests on no record: {kind} {fields}")

    def hear(self, message):
        kind, device, op = message.get("type"), message.get("device"), message.get("op")
        if "responses" in message:
            for response in message["responses"]:
                if "error" not in response:
                    self._hear_response(response)
        elif kind in ("cert", "enrolled"):
            self._rests_on("issue", device=device, op=op)
        elif kind == "rotate":
            self._rests_on("op.open", device=device, op=op)
        elif kind == "committed":
            self._rests_on("commit", device=device, op=op)
        elif kind == "noted" and message["of"] == "promoted":
            self._rests_on("promoted", device=device, op=op)

    def _hear_response(self, response):
        command = response["command"]
        if command == "rotate":
            self._rests_on("op.open", op=response["data"]["op"])
        elif command in ACKS:  # one after the other: the n-th answer is to the n-th record
            self.asked[command] = self.asked.get(command, 0) + 1
            records = [r for _, r in self.lines if r["kind"] == ACKS[command]]
            self.seq = max(self.seq, int(records[self.asked[command] - 1]["seq"]))

    def judge(self, answer):
        words = answer.split(" ", 2)
        need(words[0] == "ok", f"unreadable: {answer}")
        seq, head = int(words[1]), words[2].strip()
        need(seq >= self.seq, f"lost: record {self.seq} was answered for, the ledger ends at {seq}")
        if seq <= len(self.lines):  # the first record of an empty ledger may be begun anew
            need(head == self.lines[seq - 1][0] or seq == 1 and self.seq <= 1, "lost: the ledger is another one")


# --- states through a probe

class Probe:
    """A probe that answers a line for a line."""

    def __init__(self, name, *arguments):
        self.child = subprocess.Popen([f"{BUILD}/tests/{name}", *arguments], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def ask(self, lines):
        self.child.stdin.write("".join(line + "\n" for line in lines))
        self.child.stdin.flush()
        return [self.child.stdout.readline() for _ in lines]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Judge:
    """Makes directories of states by the batch, asks the probe, and holds its answers against what is owed."""

    def __init__(self, tmp, probe, line_of, verdict):
        self.tmp, self.probe, self.line_of, self.verdict = tmp, probe, line_of, verdict
        self.answers, self.waiting = {}, {}
        self.bad = []
        self.bad_keys = set()
        self.made = 0

    def take(self, key, disk, owed, where):
        if key in self.answers:
            self._hold(key, disk, owed, where)
            return
        self.waiting.setdefault(key, []).append((disk, owed, where))
        if len(self.waiting) >= BATCH:
            self.flush()

    def flush(self):
        paths = []
        for holds in self.waiting.values():
            self.made += 1
            paths.append(f"{self.tmp}/{self.made}")
            holds[0][0].build(paths[-1])
        answers = self.probe.ask([self.line_of(path) for path in paths])
        for (key, holds), answer in zip(self.waiting.items(), answers):
            self.answers[key] = answer
            for hold in holds:
                self._hold(key, *hold)
        for path in paths:
            remove(path)
        self.waiting = {}

    def _hold(self, key, disk, owed, where):
        try:
            self.verdict(owed, self.answers[key], disk)
        except Failed as error:
            self.bad_keys.add(key)
            self.bad.append((where, str(error)))


def judge_agent(recording, tmp, every, put):
    """All states of the hub; a sample [(index, Disk)] for the real agent."""
    history, keys = recording.agent, keys_of(recording.agent)
    owed = HubOwes()
    owes_at = []
    for step in history.steps:
        if step.what == "mark":
            owed = owed.copy()
            owed.hear(step.mark)
        owes_at.append(owed)
    probe = Probe("agent_probe")
    judge = Judge(tmp, probe, lambda path: path + "/state",
                  lambda owes, answer, disk: owes.judge(json.loads(answer), disk, keys))
    sample = sift(history, every, judge, owes_at, AGENT_STARTS)
    probe.close()
    put({"side": "agent", "steps": len(history.steps), "states": len(judge.answers), "bad": judge.bad,
         "good": len(judge.answers) - len(judge.bad_keys),
         "marks": len(keys), "sample": len(sample)})
    return sample


def judge_plugin(recording, tmp, every, put):
    history, lines = recording.plugin, lines_of(recording.plugin)
    owes, owes_at = PluginOwes(lines), []
    for step in history.steps:
        if step.what == "mark":
            owes.hear(step.mark)
        owes_at.append(owes.seq)

    def verdict(seq, answer, _):
        at = PluginOwes(lines)
        at.seq = seq
        at.judge(answer)

    probe = Probe("store_probe", TD)
    judge = Judge(tmp, probe, lambda path: f"{path}/state {path}/ledger", verdict)
    sample = sift(history, every, judge, owes_at, BROKER_STARTS)
    probe.close()
    put({"side": "plugin", "steps": len(history.steps), "states": len(judge.answers), "bad": judge.bad,
         "good": len(judge.answers) - len(judge.bad_keys),
         "records": len(lines), "answered": owes.seq, "sample": len(sample)})
    return [(index, disk, owes_at[index]) for index, disk in sample]


def owed_at(history, owes_at, index):
    """What is owed after step `index`, and after the marks that follow it before the next change: all that can have
    left while the disk was so."""
    while index + 1 < len(history.steps) and history.steps[index + 1].what == "mark":
        index += 1
    return owes_at[index]


def sift(history, every, judge, owes_at, sample_size):
    chance = random.Random(SEED)
    seen, sample, count = set(), [], 0
    for model in MODELS:
        for index, disk in history.states(model, lambda index: index % every == 0):
            key = disk.key()
            is_new = key not in seen
            if is_new:
                seen.add(key)
                count += 1
            judge.take(key, disk, owed_at(history, owes_at, index), f"{model}, after step {index} "
                       f"({history.steps[index].what} {history.steps[index].name2 or history.steps[index].name or ''})")
            if not is_new:
                continue
            if len(sample) < sample_size:
                sample.append((index, disk))
            elif chance.randrange(count) < sample_size:
                sample[chance.randrange(sample_size)] = (index, disk)
    judge.flush()
    return sample


# --- the real programs on a sample

def start_agent(recording, index, disk, put):
    """The hub has lost its power, the broker of that moment has not."""
    place, hub = recording.place, recording.hub
    steps = recording.agent.steps
    until = steps[index + 1].time if index + 1 < len(steps) else 1 << 63
    remove(place.tmp + "/world")
    remove(hub.dir + "/world")
    recording.plugin.disk_at(until).build(place.tmp + "/world")
    disk.build(hub.dir + "/world")
    begin = place.log_size()
    try:
        place.start()
        began = time.monotonic()
        if hub.record().get("phase", "new") == "new":
            hub.enroll()
            need(hub.agent.wait() == 0, "it does not enrol")
        hub.run()
        wait_until("a session", hub.is_in_session)
        wait_until("a rotation's end", lambda: hub.is_done("0") and
                   place.ask("getDevice", device=hub.name)["phase"] == "idle")
        hub.need_working(place.ask("getDevice", device=hub.name))
        hub.need_clean()
        put({"start": "agent", "took": time.monotonic() - began})
    except (Failed, OSError, AssertionError) as error:
        put({"start": "agent", "took": 0, "error": f"after step {index}: {error}\n{place.log_from(begin)[-1500:]}"})
    for process in (hub.agent, place.broker):
        if process is not None and process.is_running():
            process.kill()


def start_broker(recording, index, disk, seq, put):
    place = recording.place
    remove(place.tmp + "/world")
    disk.build(place.tmp + "/world")
    try:
        took = place.start()
        status = place.ask("status")
        need(int(status["durableSeq"]) >= seq, f"record {seq} was answered for: {status}")
        put({"start": "broker", "took": took})
    except (Failed, OSError, AssertionError, KeyError) as error:
        put({"start": "broker", "took": 0, "error": f"after step {index}: {type(error).__name__} {error}"})
    if place.broker.is_running():
        place.broker.kill()


def run(index, _count, put, tmp, every):
    tmp = f"{tmp}/power-{index}"
    os.makedirs(tmp + "/states", mode=0o700)
    recording = Recording(tmp + "/life", index % 2 == 1)
    hubs = judge_agent(recording, tmp + "/states", every, put)
    registries = judge_plugin(recording, tmp + "/states", every, put)
    for at, disk in hubs[::every]:
        start_agent(recording, at, disk, put)
    for at, disk, seq in registries[::every]:
        start_broker(recording, at, disk, seq, put)


# --- the whole

KIND_OF = {"lockout": "lockouts", "lost": "facts_lost", "retired": "retired_accepted"}


def take(report, item, totals):
    if "broken" in item:
        report.bad("power: a worker broke off", "other_failures", item["broken"])
    elif "side" in item:
        side = item["side"]
        totals[side + "_states"] += item["states"]
        totals["points"] += item["steps"]
        report.good(item["good"])
        report.say(f"{side}: {item['steps']} steps, {item['states']} states, {len(item['bad'])} times not as owed" +
                   (f", {item['answered']} of {item['records']} records answered for" if "records" in item else ""))
        for where, error in item["bad"]:
            kind = KIND_OF.get(error.partition(":")[0], "other_failures")
            report.bad(f"power, {side}, {where}", kind, error)
            totals["unreadable"] += error.startswith("unreadable")
    else:
        totals[item["start"] + "_starts"] += 1
        report.took(f"the real {item['start']}", item["took"])
        if "error" in item:
            report.bad(f"power: the real {item['start']}", "lockouts", item["error"])
        else:
            report.good()


def main():
    tmp, every, jobs, is_json = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "json"
    report = Report("power", is_json)
    report.say(f"seed {SEED}")
    totals = dict.fromkeys(("points", "agent_states", "plugin_states", "unreadable", "agent_starts", "broker_starts"), 0)
    for item in workers(jobs, run, tmp, every):
        take(report, item, totals)
    report.figures = {"states": totals["agent_states"] + totals["plugin_states"], **totals}
    for name in ("agent_states", "plugin_states", "agent_starts", "broker_starts"):
        report.check(f"there were {name.replace('_', ' ')}", totals[name] > 0)
    if every == 1:
        report.check("2,000 states of the agent", totals["agent_states"] >= 2000, totals["agent_states"])
        report.check("3,000 states of the plugin", totals["plugin_states"] >= 3000, totals["plugin_states"])
    report.finish()


if __name__ == "__main__":
    main()
