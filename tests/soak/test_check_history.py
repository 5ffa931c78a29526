"""Does the checker let a good history pass, and find in each bad one what is wrong with it, and only that?

The histories are made up here: three hubs, of which a is good, b gets revoked and c is copied.
"""

import base64
import datetime
import hashlib
import json
import os
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from check_history import RULES, check

passed = failed = 0
tested = {"ledger"}  # rules that some history has broken


def report(name, is_good, detail=""):
    global passed, failed
    passed, failed = passed + is_good, failed + (not is_good)
    print(f"ok {name}" if is_good else f"not ok {name}\n    {detail}")


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Story:
    """A ledger and a history that grow together, 100 ms a line."""

    def __init__(self):
        self.w = 1_700_000_000_000_000
        self.records, self.lines = [], []
        self.ids, self.runs = 0, 0
        self.fps, self.last, self.generations = {}, {}, {}
        self.record("ledger.begin", None)

    def wait(self, seconds):
        self.w += int(seconds * 1_000_000)

    def record(self, kind, device, **fields):
        self.wait(0.1)
        record = {"time": str(self.w), "actor": "op:unix", "kind": kind, "device": device}
        if device is None:
            del record["device"]
        record.update(fields)
        self.records.append(record)
        return record

    def line(self, src, event, **fields):
        self.wait(0.1)
        line = {"t": self.w, "w": self.w, "src": src, "event": event}
        line.update(fields)
        self.lines.append(line)
        return line

    def broker(self, event, **fields):
        return self.line("broker", event, run=self.runs, **fields)

    def hub(self, device, event, instance="hub", run=2, **fields):
        return self.line("hub", event, device=device, instance=instance, run=run, **fields)

    # --- what happens

    def start_broker(self):
        self.runs += 1
        self.line("driver", "broker.start", run=self.runs)
        self.line("driver", "broker.running", run=self.runs)

    def kill_broker(self):
        self.line("driver", "broker.kill", run=self.runs)

    def ask(self, command, device, work, error=None, **data):
        """The command, what it does, its answer."""
        self.ids += 1
        number = self.ids
        self.line("operator", "ask", id=number, command=command, device=device)
        work()
        self.line("operator", "answer", id=number, error=error, data=dict(data, device=device))

    def admit(self, device, fp, tag=":agent"):
        return self.broker("session.started", client=device + tag, actor="device:" + device, fp=fp)

    def issue(self, device, op, **changes):
        self.generations[device] = self.generations.get(device, 0) + 1
        fp = sha(f"fp {device} {op}")
        fields = dict(op=str(op), fp=fp, key_id=sha(f"key {device} {op}"), generation=str(self.generations[device]), der="")
        fields.update(changes)
        self.record("issue", device, **fields)
        self.broker("rotation.issued", device=device, op=str(op), fp=fp)
        return fp

    def commit(self, device, op, fp, event="rotation.committed"):
        self.record("commit", device, op=str(op), fp=fp)
        self.broker(event, device=device, op=str(op), fp=fp)
        self.fps.setdefault(device, []).append(fp)
        self.last[device] = op

    def promote(self, device, op):
        self.record("promoted", device, op=str(op))
        self.broker("rotation.promoted", device=device, op=str(op))

    def enrol(self, device, op):
        self.ask("createDevice", device, lambda: self.record("device.create", device))
        fp = self.issue(device, op)
        self.hub(device, "phase.changed", phase="cert", op=str(op), why="enrolled", run=1)
        self.admit(device, fp, ":trial")
        self.commit(device, op, fp, "device.enrolled")
        self.hub(device, "phase.changed", phase="stable", op=str(op), why="committed", run=1)
        self.admit(device, fp)
        self.promote(device, op)

    def order(self, device, op):
        self.ask("rotate", device, lambda: self.record("op.open", device, op=str(op)), op=str(op))
        self.broker("rotation.opened", device=device, op=str(op))

    def rotate(self, device, op):
        self.order(device, op)
        self.hub(device, "key.made", op=str(op))
        self.hub(device, "phase.changed", phase="key", op=str(op), why="rotate.new")
        fp = self.issue(device, op)
        self.hub(device, "phase.changed", phase="cert", op=str(op), why="cert.good")
        self.admit(device, fp, ":trial")
        self.commit(device, op, fp)
        self.hub(device, "phase.changed", phase="stable", op=str(op), why="committed")
        self.admit(device, fp)
        self.promote(device, op)

    def probe(self, device, fp, code, tag=":probe"):
        self.ids += 1
        self.line("prober", "try", id=self.ids, client=device + tag, device=device, fp=fp)
        if code == 0:
            self.admit(device, fp, tag)
        self.line("prober", "verdict", id=self.ids, code=code)

    def publish(self, device, fp, code=0):
        self.ids += 1
        self.line("site", "try", id=self.ids, device=device, fp=fp)
        self.line("site", "verdict", id=self.ids, code=code)

    def refuse(self, device, fp, reason, tag=":probe"):
        return self.broker("client.refused", client=device + tag, device=device, fp=fp, reason=reason)

    def end(self, device, generation, **changes):
        fp = self.fps[device][-1]
        status = dict(health="in_session", phase="stable", step="none", fingerprint=fp)
        registry = dict(state="active", phase="idle", generation=generation, quarantined=False, frozen=False,
                        current={"fp": fp}, sessions=[{"clientId": device + ":agent", "generation": generation}])
        hub = dict(running=True, cert_fp=fp)
        for kept in (status, registry, hub):
            kept.update({k: v for k, v in changes.items() if k in kept})
        self.line("final", "hub", device=device, status=json.dumps(status), **hub)
        self.line("final", "registry", device=device, **registry)

    # --- as files

    def ledger(self):
        head, text = "0" * 64, ""
        for seq, record in enumerate(self.records, 1):
            body = json.dumps({"v": 1, "seq": str(seq), "prev": head, **record}, separators=(",", ":"))
            head = sha(body)
            text += head + " " + body + "\n"
        return text

    def history(self):
        return [json.dumps(line) for line in self.lines]


STEPS = ("enrolled", "rotated", "probed", "revoked", "copied", "killed", "late", "ended")


def tell(at=None, bad=None):
    """The good story; after step `at` comes what `bad` adds."""
    story = Story()

    def step(name):
        if name == at:
            bad(story)

    story.start_broker()
    for op, device in enumerate("abc", 10):
        story.enrol(device, op)
    step("enrolled")
    story.line("driver", "faults.begin", superseded_drain_s=2)
    story.rotate("a", 20)
    story.rotate("b", 21)
    story.publish("b", story.fps["b"][0])
    story.wait(5)
    step("rotated")
    old, now = story.fps["a"]
    story.probe("a", now, 0)
    story.probe("a", old, 0x87)
    story.refuse("a", old, "cert.superseded")
    story.broker("clone.alarmed", device="a", fp=old, reason="cert.superseded")
    step("probed")
    story.ask("revoke", "b", lambda: (story.record("revoke", "b", wipe=False), story.broker("device.revoked", device="b")))
    story.probe("b", story.fps["b"][-1], 0x87)
    story.refuse("b", story.fps["b"][-1], "cert.revoked")
    story.broker("clone.suspected", device="b", fp=story.fps["b"][-1], reason="cert.revoked")
    step("revoked")
    story.line("driver", "hub.start", device="c", instance="clone", run=1)
    story.admit("c", story.fps["c"][-1])
    story.rotate("c", 30)
    story.wait(5)
    story.refuse("c", story.fps["c"][0], "cert.superseded", ":agent")
    story.broker("clone.alarmed", device="c", fp=story.fps["c"][0], reason="cert.superseded")
    story.wait(10)
    story.line("driver", "hub.kill", device="c", instance="clone", run=1)
    step("copied")
    story.kill_broker()
    story.line("driver", "index.removed")
    story.start_broker()
    for event in ("hub.kill", "hub.cut", "hub.start"):
        story.line("driver", event, device="a", instance="hub", run=2)
    story.admit("a", story.fps["a"][-1])
    story.hub("a", "link.up", link="agent")
    step("killed")
    story.order("a", 40)
    story.ask("cancel", "a", lambda: story.record("op.close", "a", op="40", reason="op.closed"))
    story.ask("quarantine", "a", lambda: story.record("quarantine", "a"))
    story.ask("release", "a", lambda: story.record("release", "a"))
    step("late")
    story.line("driver", "faults.end")
    story.end("a", 2)
    story.end("c", 2)
    story.line("final", "hub", device="b", running=False, status="", cert_fp=None)
    story.line("final", "registry", device="b", state="revoked", phase="idle", sessions=[], generation=2)
    step("ended")
    return story


def judge(story, ledger=None, with_certificates=False):
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(story.ledger() if ledger is None else ledger)
    try:
        return check(story.history(), file.name, with_certificates)[0]
    finally:
        os.unlink(file.name)


def broken(findings):
    return {rule: found for rule, found in findings.of.items() if found}


def expect(name, rules, at, bad, ledger=None):
    """Exactly these rules are found to be broken."""
    found = broken(judge(tell(at, bad), ledger))
    tested.update(found)
    report(name, set(found) == set(rules.split()), f"expected {rules}, got {found}")


# --- additions to the good story

def again(device, index, tag=":agent"):
    """A credential of before opens a session once more."""
    return lambda s: s.admit(device, s.fps[device][index], tag)


def drop(kind, **fields):
    """The first such record never was; the hashes are right all the same."""
    def do(s):
        found = [r for r in s.records if r["kind"] == kind and all(r.get(k) == v for k, v in fields.items())]
        s.records.remove(found[0])
    return do


def change(lines, change_it, **fields):
    def do(s):
        for line in lines(s):
            if all(line.get(k) == v for k, v in fields.items()):
                line.update(change_it)
    return do


def history_of(s):
    return s.lines


def records_of(s):
    return s.records


def second_certificate(s):
    s.order("a", 40)
    s.issue("a", 40)
    s.issue("a", 40, fp=sha("other"), key_id=sha("other key"))
    s.record("op.close", "a", op="40", reason="op.closed")


def op_goes_back(s):
    s.record("op.open", "a", op="15")
    s.record("op.close", "a", op="15", reason="op.closed")


def pending_as_agent(tag):
    def do(s):
        s.order("a", 39)
        s.admit("a", s.issue("a", 39), tag)
        s.record("op.close", "a", op="39", reason="op.closed")
    return do


def abandoned_trial(s):
    s.order("a", 39)
    fp = s.issue("a", 39)
    s.record("op.close", "a", op="39", reason="op.closed")
    s.broker("rotation.closed", device="a", op="39", reason="op.closed")
    s.admit("a", fp, ":trial")


def commit_of_nothing(s):
    s.order("a", 39)
    s.record("commit", "a", op="39", fp=sha("never"))


def quiet_clone(s):
    s.lines[:] = [l for l in s.lines if l.get("device") != "c" or l["event"] not in ("client.refused", "clone.alarmed")]


def no_alarm_after_promoted(s):
    s.wait(5)
    s.refuse("a", s.fps["a"][0], "cert.superseded", ":agent")
    s.broker("session.ended", client="a:x")


def same_key(s):
    s.order("a", 39)
    s.issue("a", 39, key_id=sha("key b 11"))
    s.record("op.close", "a", op="39", reason="op.closed")


def late_link(s):
    s.wait(20)
    s.hub("b", "link.up", link="agent")


def lost_commit(s):
    """The hub was told, the broker died, and the ledger does not know."""
    s.order("a", 39)
    s.issue("a", 39)
    s.hub("a", "phase.changed", phase="stable", op="39", why="committed")
    s.record("op.close", "a", op="39", reason="op.closed")


def old_after_restart(s):
    s.kill_broker()
    s.start_broker()
    s.admit("a", s.fps["a"][0], ":app")


def end_of_a(**changes):
    def do(s):
        s.lines[:] = [l for l in s.lines if l["src"] != "final" or l["device"] != "a"]
        s.end("a", 2, **changes)
    return do


# --- the good one

found = broken(judge(tell()))
report("a good history has no violation", not found, found)

# --- one bad one per rule, and more

expect("I1: the current credential is refused", "I1", "killed", lambda s: s.refuse("a", s.fps["a"][-1], "cert.unknown", ":agent"))
expect("I1: a probe with it is refused", "I1", "killed", lambda s: s.probe("a", s.fps["a"][-1], 0x87))
expect("nobody to refuse it is no violation", "", "killed", lambda s: s.probe("a", s.fps["a"][-1], None))
expect("I2: a superseded one opens a session", "I2", "rotated", again("a", 0))
expect("I2: also as the hub's application", "I2", "rotated", again("a", 0, ""))
expect("I2: also after a restart", "I2", "killed", again("a", 0, ":app"))
expect("I2: though the log line of the commit was lost", "I2", "killed", lambda s: (
    s.lines.__setitem__(slice(None), [l for l in s.lines if l["event"] != "rotation.committed"]), old_after_restart(s)))
expect("I2: a probe gets in that the log does not show", "I2", "rotated", lambda s: (
    s.probe("a", s.fps["a"][0], 0), s.lines.pop(-2)))
expect("I2: one keeps its session", "I2", "ended", change(
    history_of, {"sessions": [{"clientId": "c:agent", "generation": 1}]}, src="final", event="registry", device="c"))
expect("I2: one takes part after the time to drain", "I2", "rotated", lambda s: s.publish("b", s.fps["b"][0]))
expect("who is denied takes no part", "", "rotated", lambda s: s.publish("b", s.fps["b"][0], 0x87))
expect("I3: a revoked one takes part", "I3", "revoked", lambda s: s.publish("b", s.fps["b"][-1]))
expect("I3: a revoked one opens a session", "I3", "revoked", again("b", -1))
expect("I3: after a restart", "I3", "killed", again("b", -1))
expect("I3: a probe gets in after the acknowledgement", "I3", "revoked", lambda s: (
    s.probe("b", s.fps["b"][-1], 0), s.lines.pop(-2)))
expect("I3: its hub says that it is in session", "I3", "revoked", late_link)
expect("I3: it has a session in the end", "I3", "ended", change(
    history_of, {"sessions": [{"clientId": "b:app"}]}, src="final", event="registry", device="b"))
expect("I3: it is rotated", "I3", "revoked", lambda s: s.record("op.open", "b", op="50"))
expect("I4: one key, two devices", "I4", "rotated", same_key)
expect("I4: a session with another's credential", "I4", "rotated", lambda s: s.admit("a", s.fps["b"][-1]))
expect("I4: a session under another's client id", "I4", "rotated", lambda s: s.broker(
    "session.started", client="b:agent", actor="device:a", fp=s.fps["a"][-1]))
expect("I5a: an alarm without a clone", "I5a", "rotated", lambda s: s.broker(
    "clone.alarmed", device="a", fp=s.fps["a"][0], reason="cert.superseded"))
expect("I5a: one alarm more than there were probes", "I5a", "probed", lambda s: s.broker(
    "clone.alarmed", device="a", fp=s.fps["a"][0], reason="cert.superseded"))
expect("I5a: a freeze without a clone", "I5a", "rotated", lambda s: s.broker("rotation.frozen", device="a", op="20"))
expect("I5b: a clone that nobody noticed", "I5b coverage", "copied", quiet_clone)
expect("I5b: no alarm for the use of a deleted key", "I5b", "rotated", no_alarm_after_promoted)
expect("I6: the registry is behind a device", "I6", "killed", lambda s: s.broker("registry.behind", device="a", op="99"))
expect("I6: a counter was raised", "I6", "killed", lambda s: s.record("op.raise", "a", op="39"))
expect("I7: committed was told and is not in the ledger", "I7", "killed", lost_commit)
expect("I7: rotate was told", "I7", "killed", lambda s: s.hub("a", "key.made", op="39"))
expect("I7: a certificate was given", "I7", "killed", lambda s: s.hub("a", "phase.changed", phase="cert", op="39", why="cert.good"))
expect("I7: a session with what the ledger does not hold", "I7", "killed", lambda s: s.admit("a", sha("never"), ":trial"))
expect("I8: a pending one opens the agent's session", "I8", "killed", pending_as_agent(":agent"))
expect("I8: or an application's", "I8", "killed", pending_as_agent(""))
expect("a pending one opens a trial", "", "killed", pending_as_agent(":trial"))
expect("I8: a trial after its op was closed", "I8", "killed", abandoned_trial)
expect("ops: a number goes back", "ops", "killed", op_goes_back)
expect("ops: a second certificate for one op", "ops", "killed", second_certificate)
expect("ops: a commit without an issue", "ops", "killed", commit_of_nothing)
expect("ops: promoted without a commit", "ops", "killed", lambda s: s.record("promoted", "a", op="39"))
expect("ops: what is not open is closed", "ops", "killed", lambda s: s.record("op.close", "a", op="39", reason="op.closed"))
expect("ops: a generation once more", "ops", "ended", change(records_of, {"generation": "1"}, kind="issue", op="20"))
expect("ack: a cancel that is not in the ledger", "ack", "late", lambda s: s.ask("cancel", "a", lambda: None))
expect("ack: a quarantine", "ack", "ended", drop("quarantine"))
expect("ack: a release", "ack", "ended", drop("release"))
expect("ack: a revoke", "ack", "late", lambda s: s.ask("revoke", "a", lambda: None))
expect("ack: a rotation", "ack", "late", lambda s: s.ask("rotate", "a", lambda: None, op="77"))
expect("a refused command need not be there", "", "late", lambda s: s.ask("cancel", "a", lambda: None, error="state"))
expect("LV: a hub is out", "LV", "ended", end_of_a(health="refused"))
expect("LV: a hub does not run", "LV", "ended", end_of_a(running=False))
expect("LV: an op is half done on the hub", "LV", "ended", end_of_a(phase="cert"))
expect("LV: another credential on its disk", "LV", "ended", end_of_a(cert_fp=sha("x")))
expect("LV: another one in its record", "LV", "ended", end_of_a(fingerprint=sha("x")))
expect("LV: another one in the registry", "LV", "ended", end_of_a(current={"fp": sha("x")}))
expect("LV: no session", "LV", "ended", end_of_a(sessions=[]))
expect("LV: frozen", "LV", "ended", end_of_a(frozen=True))
expect("LV: not promoted", "LV", "ended", drop("promoted", device="a", op="20"))
expect("LV: nothing is known of a hub", "LV", "ended", lambda s: s.lines.__setitem__(
    slice(None), [l for l in s.lines if l["src"] != "final" or l["device"] != "a"]))
expect("LV: the broker failed", "LV", "ended", lambda s: s.line("driver", "broker.ended", code=-11))
expect("alive: a hub ended by itself", "alive", "killed", lambda s: s.line(
    "driver", "hub.died", device="a", instance="hub", run=2, code=-11))
expect("alive: the broker did", "alive", "killed", lambda s: s.line("driver", "broker.died", run=2, code=-6))
expect("coverage: no power was cut", "coverage", "ended", lambda s: s.lines.__setitem__(
    slice(None), [l for l in s.lines if l["event"] != "hub.cut"]))

# --- the ledger

good = tell().ledger()
lines = good.splitlines(True)
for name, text in {
        "a changed byte": good.replace('"wipe":false', '"wipe":true'),
        "a missing record": "".join(lines[:5] + lines[6:]),
        "two records exchanged": "".join(lines[:5] + [lines[6], lines[5]] + lines[7:]),
        "half a record at its end": good + lines[5][:40],
        "no end of the last line": good[:-1],
        "no beginning": "".join(lines[1:]),
        "something that is no record": good + sha("x\n"[:1]) + " x\n"}.items():
    found = broken(judge(tell(), text))
    report(f"ledger: {name}", "ledger" in found, found)
report("ledger: nothing at all", "ledger" in broken(judge(tell(), "")), "")


def certificate(device, generation, key):
    serial = int.from_bytes(b"\x4b" + generation.to_bytes(4, "big") + bytes(14), "big")
    name = x509.Name([])
    day = datetime.datetime(2026, 1, 1)
    uri = x509.UniformResourceIdentifier(f"spiffe://example.org/device/{device}")
    built = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
             .serial_number(serial).not_valid_before(day).not_valid_after(day + datetime.timedelta(1))
             .add_extension(x509.SubjectAlternativeName([uri]), False).sign(key, hashes.SHA256()))
    return built.public_bytes(serialization.Encoding.DER)


def with_certificate(subject="a", generation=1, wrong=None):
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate(subject, generation, key)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fields = {"fp": hashlib.sha256(der).hexdigest(), "key_id": hashlib.sha256(spki).hexdigest(),
              "der": base64.urlsafe_b64encode(der).rstrip(b"=").decode()}
    if wrong is not None:
        fields[wrong] = sha("wrong")
    story = Story()
    story.issue("a", 5, **fields)
    found = judge(story, with_certificates=True).of
    return set(rule for rule in ("ledger", "I4") if found[rule])


report("a certificate that is what the record says", with_certificate() == set(), with_certificate())
report("ledger: another fingerprint", with_certificate(wrong="fp") == {"ledger"}, "")
report("ledger: another key id", with_certificate(wrong="key_id") == {"ledger"}, "")
report("ledger: another generation", with_certificate(generation=7) == {"ledger"}, "")
report("I4: a certificate of another device", with_certificate(subject="b") == {"I4"}, "")
report("every rule has a history that breaks it", tested >= set(RULES), set(RULES) - tested)

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
