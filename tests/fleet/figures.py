"""Samples to figures, and what the ledger says about rotations."""

import json


def percentile(values, percent):
    """The smallest of them that is at least as large as this percentage of all."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def spread(samples_us):
    """p50, p99 and max in milliseconds; None: there are none."""
    if not samples_us:
        return None
    return {"count": len(samples_us), "p50_ms": round(percentile(samples_us, 50) / 1000, 2),
            "p99_ms": round(percentile(samples_us, 99) / 1000, 2), "max_ms": round(max(samples_us) / 1000, 2)}


def with_rate(samples_us, first_us, last_us):
    """spread(), and how many a second from the begin of the first to the end of the last."""
    figures = spread(samples_us)
    if figures is not None:
        figures["per_s"] = round(len(samples_us) / max((last_us - first_us) / 1e6, 1e-6), 1)
    return figures


def rotations_of(ledger):
    """opened to committed, opened to promoted, as the ledger has them: spread and rate of each."""
    opened, committed, promoted = {}, {}, {}
    kinds = {"op.open": opened, "commit": committed, "promoted": promoted}
    with open(ledger, "rb") as file:
        for line in file:
            record = json.loads(line[65:])
            if record["kind"] in kinds and int(record.get("op", "0")) > 0:
                kinds[record["kind"]][record["device"], record["op"]] = int(record["time"])
    result = {}
    for name, ends in (("opened_to_committed", committed), ("opened_to_promoted", promoted)):
        pairs = [(opened[op], end) for op, end in ends.items() if op in opened]
        result[name] = with_rate([end - start for start, end in pairs], min((s for s, _ in pairs), default=0),
                                 max((e for _, e in pairs), default=0))
    return result


def lines_of(name, figures):
    """One line of the report."""
    if figures is None:
        return f"  {name:34} none"
    rate = f"{figures['per_s']:9.1f}/s" if "per_s" in figures else " " * 11
    return (f"  {name:34} {figures['count']:7d} {rate}   p50 {figures['p50_ms']:9.1f}   "
            f"p99 {figures['p99_ms']:9.1f}   max {figures['max_ms']:9.1f} ms")
