"""What a ledger says, read without the product: the records, and what they make of each device."""

import hashlib
import json

from place import need


class Device:
    def __init__(self):
        self.state, self.phase = "new", "idle"
        self.current = self.pending = ""
        self.last_op = self.committed_op = self.promoted_op = 0
        self.quarantined = self.frozen = False


class Fold:
    """Reads on where it stopped; every line must verify and follow the one before."""

    def __init__(self, path):
        self.path = path
        self.at, self.seq, self.head = 0, 0, "0" * 64
        self.devices, self.tickets, self.operators = {}, set(), {}

    def read(self):
        with open(self.path, "rb") as ledger:
            ledger.seek(self.at)
            raw = ledger.read()
        whole = raw[:raw.rfind(b"\n") + 1]
        for line in whole.split(b"\n")[:-1]:
            self._take(line)
        self.at += len(whole)
        return self

    def _take(self, line):
        digest, body = line[:64].decode(), line[65:]
        record = json.loads(body)
        need(hashlib.sha256(body).hexdigest() == digest, f"ledger: the hash of record {self.seq + 1} is wrong")
        need(record["prev"] == self.head and int(record["seq"]) == self.seq + 1,
             f"ledger: record {record['seq']} does not follow {self.seq}")
        self.seq, self.head = self.seq + 1, digest
        self._apply(record)

    def _apply(self, record):
        kind = record["kind"]
        device = self.devices.setdefault(record["device"], Device()) if "device" in record else Device()
        op = int(record.get("op", "0"))
        device.last_op = max(device.last_op, op)
        if kind == "op.open":
            device.phase, device.pending = "open", ""
        elif kind == "issue":
            device.phase, device.pending = "issued", record["fp"]
        elif kind == "commit":
            device.phase, device.state, device.current, device.pending = "idle", "active", record["fp"], ""
            device.committed_op = op
        elif kind in ("op.close", "freeze"):
            device.phase, device.pending = "idle", ""
            device.frozen = device.frozen or kind == "freeze"
        elif kind == "promoted":
            device.promoted_op = op
        elif kind == "revoke":
            device.state, device.phase, device.current, device.pending = "revoked", "idle", "", ""
        elif kind == "credential.import":
            device.state, device.current = "active", record["fp"]
        elif kind in ("quarantine", "release"):
            device.quarantined = kind == "quarantine"
        elif kind == "ticket.create":
            self.tickets.add(record["ticket"])
        elif kind in ("operator.add", "operator.remove"):
            self.operators[record["name"]] = kind == "operator.add"

    def need_same(self, name, said):
        """getDevice's answer and the ledger tell the same of this device."""
        device = self.devices.get(name)
        need(device is not None, f"half: the registry has {name}, the ledger has not")
        for what, theirs, ours in (
                ("state", said["state"], device.state), ("phase", said["phase"], device.phase),
                ("current", said.get("current", {}).get("fp", ""), device.current),
                ("pending", said.get("pending", {}).get("fp", ""), device.pending),
                ("last op", int(said.get("lastOp", "0")), device.last_op),
                ("committed op", int(said.get("committedOp", "0")), device.committed_op),
                ("promoted op", int(said.get("promotedOp", "0")), device.promoted_op),
                ("quarantined", said["quarantined"], device.quarantined), ("frozen", said["frozen"], device.frozen)):
            need(theirs == ours, f"half: {what} of {name}: the registry says {theirs!r}, the ledger {ours!r}")
