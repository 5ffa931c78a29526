"""The oracle of the soak: reads a history and the ledger that is left, and tests what must hold.

    check_history.py [--json] HISTORY LEDGER

Shares no code with the product, nor with the driver that made the history: formats and rules are written
down a second time, from docs/PROTOCOL.md and docs/DESIGN.md. A rule is one check; a violation names the lines
of the history (h:N) and of the ledger (l:N) that contradict it. Ends with "N passed, N failed".

Times: w is the wall clock in microseconds, the same in both files (one machine). A line of a log is stamped when
it is read, so later than what it tells; the order of lines from one broker is the order in which it
decided. Judgements use that order, or times in the direction in which they can only be too mild.
"""

import argparse
import base64
import collections
import hashlib
import json
import statistics
import sys

from cryptography import x509
from cryptography.hazmat.primitives import serialization

RULES = {
    "ledger": "the ledger is whole: hashes, numbers, certificates",
    "I1": "no credential in force was refused",
    "I2": "no superseded credential opened a session, or kept one",
    "I3": "no revoked device opened a session, or kept one",
    "I4": "every key belongs to one device",
    "I5a": "no clone alarm without a clone",
    "I5b": "every clone was noticed",
    "I6": "no registry was behind its devices",
    "I7": "what was told to anybody is in the ledger",
    "I8": "a pending credential opened trials alone",
    "ops": "ops only grow, are issued once, and commit what was issued",
    "ack": "every acknowledged command is in the ledger",
    "LV": "in the end every hub is in session with its current credential, no op half done",
    "alive": "no process ended by itself",
    "coverage": "everything that the run is about has happened",
}
SLACK_US = 2_000_000      # where two clocks of observation meet
NOTICE_US = 5_000_000     # time for a separated clone to try once more
ALARM_WINDOW_US, ALARM_BURST = 10_000_000, 20  # the log's limit for lines that strangers can cause


class Findings:
    def __init__(self):
        self.of = {rule: [] for rule in RULES}

    def add(self, rule, text, *places):
        self.of[rule].append(text + (" (" + " ".join(places) + ")" if places else ""))


def h(line):
    return f"h:{line['n']}"


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


# --- the ledger

class Ledger:
    """Its records in order, each with its line number; what does not verify is a finding."""

    def __init__(self, path, findings):
        self.findings = findings
        self.records = []
        with open(path, "rb") as file:
            raw = file.read()
        lines = raw.split(b"\n")
        if lines.pop() != b"":
            findings.add("ledger", "the last line has no end")
        head = "0" * 64
        for number, line in enumerate(lines, 1):
            head = self._take(number, line, head)
        if not self.records or self.records[0]["kind"] != "ledger.begin":
            findings.add("ledger", "it does not begin with ledger.begin")

    def _take(self, number, line, head):
        place = f"l:{number}"
        digest, body = line[:64].decode(errors="replace"), line[65:]
        if line[64:65] != b" " or sha256(body) != digest:
            self.findings.add("ledger", "the hash is not that of the record", place)
            return digest
        try:
            record = json.loads(body)
        except ValueError:
            self.findings.add("ledger", "no JSON", place)
            return digest
        if record.get("prev") != head:
            self.findings.add("ledger", "prev is not the hash of the record before", place)
        if record.get("seq") != str(number):
            self.findings.add("ledger", f"number {record.get('seq')} where {number} is due", place)
        record["place"], record["w"] = place, int(record["time"])
        record["op"] = int(record.get("op", "0"))
        self.records.append(record)
        return digest


class Device:
    def __init__(self):
        self.last_op = self.open_op = 0
        self.pending = self.current = None  # fingerprints
        self.generation = 0
        self.issued_ops, self.committed_ops = {}, {}
        self.opened_ops = {}
        self.promoted_op = 0
        self.is_revoked = False
        self.cleared = []  # records: everything older than it has ended


class Credential:
    def __init__(self, device, op, record):
        self.device, self.op, self.issued = device, op, record
        self.committed = None      # the record
        self.ended = None          # the record
        self.why = None            # superseded, revoked, abandoned


class Fold:
    """What the records say together: devices, credentials, and when each of those began and ended."""

    def __init__(self, ledger, findings, has_certificates=True):
        self.findings = findings
        self.has_certificates = has_certificates
        self.devices = collections.defaultdict(Device)
        self.credentials = {}
        self.keys = {}
        self.by_kind = collections.defaultdict(list)
        for record in ledger.records:
            self.by_kind[record["kind"]].append(record)
            take = getattr(self, "_" + record["kind"].replace(".", "_"), None)
            if take is not None:
                take(record, self.devices[record.get("device")])

    def _end(self, fp, record, why):
        if fp is not None:
            self.credentials[fp].ended, self.credentials[fp].why = record, why

    def _close(self, device, record, why="abandoned"):
        self._end(device.pending, record, why)
        device.pending, device.open_op = None, 0

    def _op_open(self, record, device):
        if record["op"] <= device.last_op:
            self.findings.add("ops", f"{record['device']}: op {record['op']} after {device.last_op}", record["place"])
        if device.is_revoked:
            self.findings.add("I3", f"{record['device']}: an op for a revoked device", record["place"])
        self._close(device, record)
        device.last_op = max(device.last_op, record["op"])
        device.open_op = record["op"]
        device.opened_ops[record["op"]] = record

    def _issue(self, record, device):
        name, op, fp = record["device"], record["op"], record["fp"]
        if op in device.issued_ops:
            self.findings.add("ops", f"{name}: a second certificate for op {op}", device.issued_ops[op]["place"],
                              record["place"])
        if op != device.open_op:  # an enrolment: its op is its own
            if op <= device.last_op:
                self.findings.add("ops", f"{name}: a certificate for op {op}, which is not open", record["place"])
            self._close(device, record)
            device.last_op = max(device.last_op, op)
            device.open_op = op
        if int(record["generation"]) <= device.generation:
            self.findings.add("ops", f"{name}: generation {record['generation']} again", record["place"])
        owner = self.keys.setdefault(record["key_id"], record)
        if owner is not record:
            self.findings.add("I4", f"a key of {owner['device']} and of {name}", owner["place"], record["place"])
        if fp in self.credentials:
            self.findings.add("I4", f"{name}: the fingerprint exists", record["place"])
        device.generation = max(device.generation, int(record["generation"]))
        device.issued_ops[op] = record
        device.pending = fp
        self.credentials[fp] = Credential(name, op, record)
        if self.has_certificates:
            self._read_certificate(record)

    def _read_certificate(self, record):
        der = base64.urlsafe_b64decode(record["der"] + "=" * (-len(record["der"]) % 4))
        if sha256(der) != record["fp"]:
            self.findings.add("ledger", "fp is not that of der", record["place"])
        leaf = x509.load_der_x509_certificate(der)
        key = leaf.public_key().public_bytes(serialization.Encoding.DER,
                                             serialization.PublicFormat.SubjectPublicKeyInfo)
        if sha256(key) != record["key_id"]:
            self.findings.add("ledger", "key_id is not that of der", record["place"])
        uris = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier)
        if [uri.split("/device/")[-1] for uri in uris] != [record["device"]]:
            self.findings.add("I4", f"the certificate of {record['device']} is for {uris}", record["place"])
        generation = int.from_bytes(leaf.serial_number.to_bytes(20, "big")[2:6], "big")
        if generation != int(record["generation"]):
            self.findings.add("ledger", f"generation {generation} in der", record["place"])

    def _commit(self, record, device):
        name, op, fp = record["device"], record["op"], record["fp"]
        if fp != device.pending or op != device.open_op or device.issued_ops.get(op, {}).get("fp") != fp:
            self.findings.add("ops", f"{name}: a commit of what is not pending", record["place"])
        if fp not in self.credentials:
            return
        self._end(device.current, record, "superseded")
        self.credentials[fp].committed = record
        device.current, device.pending, device.open_op = fp, None, 0
        device.committed_ops[op] = record
        device.is_revoked = False

    def _promoted(self, record, device):
        if record["op"] not in device.committed_ops:
            self.findings.add("ops", f"{record['device']}: promoted, but not committed", record["place"])
            return
        device.promoted_op = max(device.promoted_op, record["op"])

    def _op_close(self, record, device):
        if record["op"] != device.open_op:
            self.findings.add("ops", f"{record['device']}: op {record['op']} is closed, but not open", record["place"])
        self._close(device, record)

    def _freeze(self, record, device):
        self._close(device, record)

    def _op_raise(self, record, device):
        if record["op"] <= device.last_op:
            self.findings.add("ops", f"{record['device']}: op raised to {record['op']} from {device.last_op}",
                              record["place"])
        self._close(device, record)
        device.last_op = max(device.last_op, record["op"])

    def _revoke(self, record, device):
        self._close(device, record, "revoked")
        self._end(device.current, record, "revoked")
        device.current = None
        device.is_revoked = True

    _device_delete = _revoke

    def has(self, kind, device, first_w=0, last_w=1 << 62, **fields):
        return any(r.get("device") == device and first_w <= r["w"] <= last_w and
                   all(r.get(k) == v for k, v in fields.items()) for r in self.by_kind[kind])


# --- the history

class Watch:
    """Walks through the history once, in order; knows at each line which credentials have ended by then."""

    def __init__(self, fold, findings):
        self.fold, self.findings = fold, findings
        self.n = collections.Counter()          # figures
        self.reasons = collections.Counter()
        self.dead = {}                          # fp: the Credential, once its end is in force
        self.ends = sorted((c for c in fold.credentials.values() if c.ended is not None), key=lambda c: c.ended["w"])
        self.by_end = collections.defaultdict(list)
        for credential in self.ends:
            self.by_end[credential.ended["kind"], credential.device, credential.ended["op"]].append(credential)
        self.tries, self.tried = {}, collections.Counter()
        self.alarmed = collections.Counter()
        self.asks = {}
        self.cloned = {}                        # device: [start line, end line or None]
        self.noticed = collections.defaultdict(list)
        self.revoke_acked = {}                  # device: line of the answer
        self.alarm_due = None                   # a refusal whose alarm must be the broker's next line
        self.alarm_times = collections.deque()
        self.drain_us = 0
        self.back = Back()
        self.meter = collections.defaultdict(list)
        self.final_hubs, self.final_registry = {}, {}

    def take(self, line):
        name = (line["src"] + "_" + line["event"]).replace(".", "_")
        if line["src"] == "broker":
            self.check_alarm_due(line)
        self.back.take(line)
        handler = getattr(self, "on_" + name, None)
        if handler is not None:
            handler(line)

    # --- which credentials have ended

    def bury(self, credentials):
        for credential in credentials:
            self.dead[credential.issued["fp"]] = credential

    def on_driver_broker_start(self, line):
        """A new broker has read the whole ledger: what ended before is over."""
        self.alarm_due = None
        self.alarm_times.clear()
        while self.ends and self.ends[0].ended["w"] < line["w"]:
            self.bury([self.ends.pop(0)])

    def on_broker_rotation_committed(self, line):
        self.bury(self.by_end["commit", line["device"], int(line["op"])])

    on_broker_device_enrolled = on_broker_rotation_committed

    def on_broker_rotation_opened(self, line):
        self.bury(self.by_end["op.open", line["device"], int(line["op"])])

    def on_broker_rotation_closed(self, line):
        self.bury(self.by_end["op.close", line["device"], int(line["op"])])

    def on_broker_device_revoked(self, line):
        self.bury(self.by_end["revoke", line["device"], 0])

    def complain_of_dead(self, credential, what, *lines):
        rule = {"superseded": "I2", "revoked": "I3", "abandoned": "I8"}[credential.why]
        self.findings.add(rule, f"{credential.device}: {what}, {credential.why} "
                          f"{credential.issued['fp'][:12]}", credential.ended["place"], *[h(one) for one in lines])

    # --- the door

    def on_broker_session_started(self, line):
        self.n["sessions"] += 1
        actor, client = line.get("actor", ""), line["client"]
        if not actor.startswith("device:"):
            return
        device, fp = actor[7:], line.get("fp")
        credential = self.fold.credentials.get(fp)
        if credential is None or credential.issued["w"] > line["w"]:
            self.findings.add("I7", f"{client} was let in with a credential that the ledger does not hold", h(line))
            return
        if credential.device != device or client.split(":")[0] != device:
            self.findings.add("I4", f"{client} was let in with the credential of {credential.device}", h(line))
        if fp in self.dead:
            self.complain_of_dead(self.dead[fp], f"{client} was let in", line)
        if not client.endswith(":trial") and (credential.committed is None or credential.committed["w"] > line["w"]):
            self.findings.add("I8", f"{client} was let in with a pending credential", h(line))

    def is_in_force(self, fp, first_w, last_w):
        """Current, undisputed, from first_w to last_w and a while around it."""
        credential = self.fold.credentials.get(fp)
        return (credential is not None and credential.committed is not None
                and credential.committed["w"] + SLACK_US < first_w
                and (credential.ended is None or credential.ended["w"] > last_w))

    def on_broker_client_refused(self, line):
        self.n["refusals"] += 1 + int(line.get("dropped", 0))
        self.reasons[line["reason"]] += 1
        fp = line.get("fp")
        if line["reason"].startswith("cert.") and self.is_in_force(fp, line["w"], line["w"]):
            self.findings.add("I1", f"{line['client']} was refused ({line['reason']}) with its current credential", h(line))
        credential = self.fold.credentials.get(fp)
        if credential is None:
            return
        self.noticed[credential.device].append(line)
        if line["reason"] == "cert.superseded" and credential.why == "superseded" and any(
                r["op"] >= credential.ended["op"] and r["device"] == credential.device and r["w"] + SLACK_US < line["w"]
                for r in self.promoted(credential.device)):
            self.alarm_due = line

    def promoted(self, device):
        if not hasattr(self, "promoted_of"):
            self.promoted_of = collections.defaultdict(list)
            for record in self.fold.by_kind["promoted"]:
                self.promoted_of[record["device"]].append(record)
        return self.promoted_of[device]

    def check_alarm_due(self, line):
        """The use of a key that its hub has deleted is an alarm; the log says so in the next line."""
        due, self.alarm_due = self.alarm_due, None
        if due is None or (line["event"] == "clone.alarmed" and line.get("fp") == due["fp"]):
            return
        recent = [t for t in self.alarm_times if t > line["t"] - ALARM_WINDOW_US - SLACK_US]
        if len(recent) < ALARM_BURST:
            self.findings.add("I5b", f"{due['client']}: no alarm for the use of a deleted key", h(due), h(line))

    def on_prober_try(self, line):
        self.tries[line["id"]] = line
        self.tried[line["fp"]] += 1
        line["dead"] = self.dead.get(line["fp"])  # already over when the attempt began
        ack = self.revoke_acked.get(line["device"])
        credential = self.fold.credentials.get(line["fp"])
        line["revoked"] = ack if credential is not None and credential.why == "revoked" else None
        kind = credential.why if credential is not None and line["dead"] is not None else "current"
        self.n["probes " + kind] += 1

    def on_prober_verdict(self, line):
        began = self.tries[line["id"]]
        self.n["probes resumed"] += line.get("resumed") is True
        if line["code"] == 0:
            self.n["probes let in"] += 1
            if began["dead"] is not None:
                self.complain_of_dead(began["dead"], f"{began['client']} got in", began, line)
            elif began["revoked"] is not None:
                self.findings.add("I3", f"{began['client']} got in after the acknowledgement", h(began["revoked"]),
                                  h(began), h(line))
        elif line["code"] is not None:
            self.n["probes refused"] += 1
            if self.is_in_force(began["fp"], began["w"], line["w"]):
                self.findings.add("I1", f"{began['client']} was refused with its current credential", h(began), h(line))

    # --- sessions that are there

    def on_site_try(self, line):
        self.tries[line["id"]] = line
        line["dead"] = self.dead.get(line["fp"])

    def on_site_verdict(self, line):
        """A message was taken from a session that should have ended."""
        began = self.tries[line["id"]]
        credential = began["dead"]
        if line["code"] is None or line["code"] >= 0x80:
            return
        self.n["messages taken"] += 1
        if credential is None:
            return
        if credential.why != "superseded" or credential.ended["w"] + self.drain_us + SLACK_US < began["w"]:
            self.complain_of_dead(credential, "a message was taken", began, line)

    # --- clones

    def on_driver_hub_start(self, line):
        if line["instance"] == "clone":
            self.n["clones"] += 1
            self.cloned[line["device"]] = [line, None]
        else:
            self.n["hub starts"] += 1

    def on_driver_hub_kill(self, line):
        if line["instance"] == "clone":
            self.cloned[line["device"]][1] = line
        else:
            self.n["hub kills"] += 1

    def on_driver_hub_cut(self, line):
        self.n["power cuts"] += 1

    def on_broker_clone_alarmed(self, line):
        self.n["alarms"] += 1 + int(line.get("dropped", 0))
        self.alarm_times.append(line["t"])
        self.noticed[line["device"]].append(line)
        fp = line.get("fp")
        self.alarmed[fp] += 1
        is_probe = line.get("reason") == "cert.superseded" and self.alarmed[fp] <= self.tried[fp]
        if line["device"] not in self.cloned and not is_probe:
            self.findings.add("I5a", f"{line['device']}: an alarm ({line.get('reason')}), but nobody has copied it", h(line))

    def on_broker_clone_suspected(self, line):
        self.n["suspicions"] += 1 + int(line.get("dropped", 0))
        self.noticed[line["device"]].append(line)

    def on_broker_rotation_frozen(self, line):
        self.n["frozen"] += 1
        self.bury(self.by_end["freeze", line["device"], int(line.get("op", 0))])
        self.noticed[line["device"]].append(line)
        if line["device"] not in self.cloned:
            self.findings.add("I5a", f"{line['device']}: frozen, but nobody has copied it", h(line))

    def on_broker_session_contended(self, line):
        self.noticed[line["device"]].append(line)

    def check_clones(self, last):
        """Once a rotation has separated copy and original, one of the two is refused."""
        for device, (start, end) in self.cloned.items():
            end = end or last
            commits = [r for op, r in self.fold.devices[device].committed_ops.items()
                       if start["w"] < r["w"] < end["w"] - NOTICE_US and
                       self.fold.devices[device].opened_ops.get(op, {"w": 0})["w"] > start["w"]]
            if commits and not any(line["w"] > commits[0]["w"] for line in self.noticed[device]):
                self.findings.add("I5b", f"{device}: a clone, separated and not noticed", h(start), commits[0]["place"])
            self.n["clones separated"] += bool(commits)
            self.n["clones noticed"] += any(line["w"] > start["w"] for line in self.noticed[device])

    # --- what was told

    def on_broker_registry_behind(self, line):
        if line["device"] not in self.cloned:
            self.findings.add("I6", f"{line['device']} knows op {line.get('op')}, the registry did not", h(line))

    def told(self, line, records, what):
        if int(line["op"]) not in records:
            self.findings.add("I7", f"{line['device']} was told {what} of op {line['op']}", h(line))

    def on_hub_key_made(self, line):
        if "op" in line:
            self.told(line, self.fold.devices[line["device"]].opened_ops, "rotate")

    def on_hub_phase_changed(self, line):
        device = self.fold.devices[line["device"]]
        if line["phase"] == "cert":
            self.told(line, device.issued_ops, "cert")
        elif line.get("why") == "committed":
            self.told(line, device.committed_ops, "committed")
            if line["instance"] == "hub" and int(line["op"]) in device.committed_ops:
                # the end of the old credential was told: it is over even if no log line of it was left
                self.bury(self.by_end["commit", line["device"], int(line["op"])])

    def on_hub_link_up(self, line):
        acked = self.revoke_acked.get(line["device"])
        if acked is not None and line["t"] > acked["t"] + NOTICE_US:
            self.findings.add("I3", f"{line['device']}: in session after the acknowledged revoke", h(acked), h(line))

    # --- the operator

    def on_operator_ask(self, line):
        self.asks[line["id"]] = line

    def on_operator_answer(self, line):
        ask = self.asks[line["id"]]
        self.n["commands"] += 1
        if line["error"] is not None:
            return
        command, device = ask["command"], ask.get("device")
        window = {"first_w": ask["w"], "last_w": line["w"]}
        is_there = True
        if command == "rotate":
            is_there = int(line["data"]["op"]) in self.fold.devices[device].opened_ops
        elif command == "revoke":
            self.revoke_acked.setdefault(device, line)
            self.n["revokes"] += 1
            is_there = self.fold.has("revoke", device, last_w=line["w"])
            self.bury(c for c in self.ends if c.device == device and c.why == "revoked")
        else:
            kind = {"cancel": "op.close", "quarantine": "quarantine", "release": "release",
                    "createDevice": "device.create", "createTicket": "ticket.create"}.get(command)
            if kind is not None:
                is_there = self.fold.has(kind, device, **window)
        if not is_there:
            self.findings.add("ack", f"{command} of {device} is not in the ledger", h(ask), h(line))

    # --- the end

    def on_driver_faults_begin(self, line):
        self.drain_us = line["superseded_drain_s"] * 1_000_000

    def on_driver_broker_kill(self, line):
        self.n["broker kills"] += 1

    def on_driver_index_removed(self, line):
        self.n["index removed"] += 1

    def on_driver_index_restored(self, line):
        self.n["index restored"] += 1

    def on_driver_broker_ended(self, line):
        if line["code"] != 0:
            self.findings.add("LV", f"the broker ended with {line['code']}", h(line))

    def on_driver_hub_died(self, line):
        if line["instance"] == "hub" or line["code"] < 0:  # a copy of half a directory may refuse to start
            self.findings.add("alive", f"{line['device']} ended with {line['code']}", h(line))

    def on_driver_broker_died(self, line):
        self.findings.add("alive", f"the broker ended with {line['code']}", h(line))

    def on_meter_broker(self, line):
        if line["rss_kib"] > 0:
            self.meter[line["run"]].append((line["t"] / 1e6, line["rss_kib"], line["fds"]))

    def on_final_hub(self, line):
        self.final_hubs[line["device"]] = line

    def on_final_registry(self, line):
        self.final_registry[line["device"]] = line

    def check_end(self):
        names = {r["device"] for r in self.fold.by_kind["device.create"]}
        if not names:
            self.findings.add("LV", "there is no device")
        for name in sorted(names):
            hub, registry, device = self.final_hubs.get(name), self.final_registry.get(name), self.fold.devices[name]
            if hub is None or registry is None:
                self.findings.add("LV", f"{name}: nothing is known of its end")
            elif device.is_revoked:
                self.check_revoked(name, registry)
            else:
                self.check_sessions(name, registry)
                if name not in self.cloned:
                    self.check_live(name, device, hub, registry)

    def check_revoked(self, name, registry):
        if registry["state"] != "revoked" or registry["sessions"]:
            self.findings.add("I3", f"{name}: {registry['state']} with {len(registry['sessions'])} sessions", h(registry))

    def check_sessions(self, name, registry):
        for session in registry["sessions"]:
            if session.get("generation") != registry["generation"]:
                self.findings.add("I2", f"{name}: {session['clientId']} is in session with generation "
                                  f"{session.get('generation')} of {registry['generation']}", h(registry))

    def check_live(self, name, device, hub, registry):
        try:
            status = json.loads(hub["status"])
        except ValueError:
            status = {}
        fp = device.current
        facts = {
            "the hub does not run": hub["running"] is True,
            f"health {status.get('health')}": status.get("health") == "in_session",
            f"phase {status.get('phase')}": status.get("phase") == "stable",
            f"step {status.get('step')}": status.get("step") == "none",
            "another credential in its record": status.get("fingerprint") == fp,
            "another certificate on its disk": hub["cert_fp"] == fp,
            "another credential in the registry": registry.get("current", {}).get("fp") == fp,
            f"registry: {registry['state']}": registry["state"] == "active",
            f"registry: {registry['phase']}": registry["phase"] == "idle" and "pending" not in registry,
            "frozen or quarantined": registry.get("frozen") is False and registry.get("quarantined") is False,
            "not promoted": device.promoted_op == max(device.committed_ops, default=-1),
            "no session of its agent": any(s["clientId"] == name + ":agent" for s in registry["sessions"]),
        }
        wrong = [what for what, is_good in facts.items() if not is_good]
        if wrong:
            self.findings.add("LV", f"{name}: " + ", ".join(wrong), h(hub), h(registry))

    def check_coverage(self):
        commits = len(self.fold.by_kind["commit"]) - len(self.fold.by_kind["device.create"])
        self.n["rotations"] = commits
        for what in ("rotations", "broker kills", "hub kills", "power cuts", "revokes", "clones", "clones noticed",
                     "index removed", "probes superseded", "probes revoked", "probes current", "probes let in",
                     "messages taken"):
            if self.n[what] <= 0:
                self.findings.add("coverage", f"{what}: none")


class Back:
    """How long a hub takes to be in session, counted from when nothing hindered it any more."""

    def __init__(self):
        self.since, self.out = {}, set()
        self.longest, self.who, self.all = 0, None, []

    def take(self, line):
        src, event, t, device = line["src"], line["event"], line["t"], line.get("device")
        if (src, event) == ("driver", "broker.running"):
            self.since = {name: t for name in self.since}
        elif src == "operator" and line.get("command") == "revoke":
            self.out.add(device)
        elif src == "driver" and line.get("instance") == "clone":
            self.out.add(device)
        elif src == "driver" and event == "hub.start" or src == "hub" and event in ("link.down", "link.refused") and \
                line.get("link") == "agent":
            self.since[device] = t
        elif src == "hub" and event == "link.up" and line.get("link") == "agent" and device in self.since:
            took = t - self.since.pop(device)
            if line["run"] > 1 and device not in self.out:
                self.all.append(took)
                if took > self.longest:
                    self.longest, self.who = took, line


def slope(points):
    """Per minute, least squares."""
    if len(points) < 3:
        return None
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else None


def figures(watch):
    """Of the broker: slopes where a life lasted for long enough after half a minute of warm-up."""
    rss, fds, last = [], [], []
    for samples in watch.meter.values():
        last.append(samples[-1][1:])
        warm = [s for s in samples if s[0] > samples[0][0] + 30]
        if len(warm) >= 20:
            rss.append(slope([(t, kib) for t, kib, _ in warm]))
            fds.append(slope([(t, n) for t, _, n in warm]))
    n = watch.n
    return {
        "rotations": n["rotations"], "broker_kills": n["broker kills"], "hub_kills": n["hub kills"],
        "power_cuts": n["power cuts"], "restarts": n["hub starts"], "sessions": n["sessions"],
        "commands": n["commands"], "revokes": n["revokes"], "clones": n["clones"],
        "clones_separated": n["clones separated"], "clones_noticed": n["clones noticed"],
        "refusals": n["refusals"], "reasons": dict(sorted(watch.reasons.items())), "alarms": n["alarms"],
        "suspicions": n["suspicions"], "frozen": n["frozen"],
        "probes": {k[7:].replace(" ", "_"): v for k, v in sorted(n.items()) if k.startswith("probes ")},
        "messages_taken": n["messages taken"],
        "back_s": {"longest": round(watch.back.longest / 1e6, 2),
                   "median": round(statistics.median(watch.back.all) / 1e6, 2) if watch.back.all else None},
        "broker": {"lives": len(watch.meter), "rss_kib_per_min": round(statistics.median(rss), 1) if rss else None,
                   "fds_per_min": round(statistics.median(fds), 2) if fds else None,
                   "rss_kib_at_end_of_life": [one[0] for one in last], "fds_at_end_of_life": [one[1] for one in last]},
    }


def check(history, ledger, has_certificates=True):
    """history: iterable of JSON lines. Findings and figures."""
    findings = Findings()
    fold = Fold(Ledger(ledger, findings), findings, has_certificates)
    watch = Watch(fold, findings)
    line = {"w": 0, "n": 0}
    for number, text in enumerate(history, 1):
        line = json.loads(text)
        line["n"] = number
        watch.take(line)
    watch.check_clones(line)
    watch.check_end()
    watch.check_coverage()
    for record in fold.by_kind["op.raise"]:
        if record["device"] not in watch.cloned:
            findings.add("I6", f"{record['device']}: the registry was behind its device", record["place"])
    return findings, figures(watch)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("history")
    parser.add_argument("ledger")
    args = parser.parse_args()
    with open(args.history) as history:
        findings, numbers = check(history, args.ledger)
    failed = sum(1 for found in findings.of.values() if found)
    out = sys.stderr if args.json else sys.stdout
    for rule, text in RULES.items():
        found = findings.of[rule]
        print(f"not ok {rule}: {text}: {len(found)} violations" if found else f"ok {rule}: {text}", file=out)
        for one in found[:20]:
            print("    " + one, file=out)
    numbers["violations"] = sum(len(found) for found in findings.of.values())
    if args.json:
        print(json.dumps(numbers))
    else:
        for name, value in numbers.items():
            print(f"# {name}: {value}")
    print(f"{len(RULES) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
