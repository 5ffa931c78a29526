"""Are the figures what they are called? Ends with "N passed, N failed"."""

import json
import os

from counted import equal, file_of, finish
from figures import percentile, rotations_of, spread, with_rate
from processes import shares

def ledger(records):
    """Lines as the ledger has them; rotations_of() does not look at the hashes."""
    return file_of("".join("0" * 64 + " " + json.dumps(record) + "\n" for record in records))


def record(kind, device, op, time_us):
    return {"kind": kind, "device": device, "op": str(op), "time": str(time_us)}


hundred = list(range(1, 101))
equal("p50 of 1 to 100 is 50", percentile(hundred, 50), 50)
equal("p99 of 1 to 100 is 99", percentile(hundred, 99), 99)
equal("p99 of 1 to 10 is 10", percentile(hundred[:10], 99), 10)
equal("p50 of one is that one", percentile([7], 50), 7)
equal("no samples, no figures", spread([]), None)
equal("samples need no order", spread([3000, 1000, 2000]), {"count": 3, "p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0})
equal("a rate is counted from the first begin to the last end", with_rate([1000] * 10, 5000000, 7000000)["per_s"], 5.0)

path = ledger([record("ledger.begin", "", 0, 0),
               record("op.open", "a", 10, 1000000), record("op.open", "b", 11, 1000000),
               record("commit", "a", 10, 1500000), record("promoted", "a", 10, 1600000),
               record("commit", "c", 12, 1700000),   # an enrolment: nobody opened it
               record("commit", "b", 11, 3000000)])  # not promoted yet
found = rotations_of(path)
os.unlink(path)
equal("a commit without an op that was opened is none of a rotation", found["opened_to_committed"]["count"], 2)
equal("opened to committed", (found["opened_to_committed"]["p50_ms"], found["opened_to_committed"]["max_ms"]), (500.0, 2000.0))
equal("rotations a second", found["opened_to_committed"]["per_s"], 1.0)
equal("opened to promoted", (found["opened_to_promoted"]["count"], found["opened_to_promoted"]["max_ms"]), (1, 600.0))

for hubs in (1, 49, 200, 5001, 100000):
    parts = list(shares(hubs))
    equal(f"{hubs} hubs: every hub is one process's", [first + i for first, count in parts for i in range(count)],
          list(range(hubs)))

parts = list(shares(5001, 3))
equal("with copies a process has fewer hubs", (sum(count for _, count in parts), len(parts) >= len(list(shares(5001)))),
      (5001, True))

finish()
