"""docs/PERFORMANCE.md, and its plots, out of the results of benchmarks.

    report.py DOCS FILE...     FILE: a result of run.sh all (build/bench/NAME.json), or its whole document

A benchmark with a page of its own here has it from its document; any other gets tables of whatever its document holds, and
those that it brings itself: "tables": [{"title", "columns": [...], "rows": [[...]]}] and "plots": [{"title", "x", "y",
"series": {name: [[x, y], ...]}}] or [{"title", "unit", "bars": [[label, {name: value}], ...]}]. Words about a benchmark (why a
target is missed) stand in docs/performance/NAME.md, and are taken in.
"""

import json
import pathlib
import re
import sys

import all as results_of
import svg

ORDER = ("connect", "rotation", "stall", "revoke", "supersede", "expire", "registry", "agent", "scale", "abuse")
TITLES = {"connect": "A connect", "rotation": "A rotation", "stall": "What others notice", "revoke": "A revoke",
          "supersede": "A key that was replaced", "expire": "A certificate that ends", "registry": "The registry",
          "agent": "The agent", "scale": "From a thousand hubs to ten thousand", "abuse": "Abuse"}
OWN = ("connect", "rotation", "stall", "revoke", "supersede", "expire", "registry", "agent", "scale")  # methods of Page
LIMIT_WORDS = re.compile(r"\bat (most|least)\b|\bholds the loop over\b")


def figure(value):
    """For a reader: as many digits as say something."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if isinstance(value, int) or abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:.5g}" if 0.9 < value < 1.1 else f"{value:.4g}"
    return str(value).replace("|", "\\|")


def shown(detail):
    """Of a check that failed: not a whole trace, and nothing of where it ran."""
    detail = re.sub(r"(?<![\w/])/[\w.+-]+(?:/[\w.+-]*)+", "...", detail)
    return detail if len(detail) <= 200 else "... " + detail[-200:]


def split(check):
    """What it says, and the figure in brackets behind it."""
    match = re.fullmatch(r"(.*) \(([^()]*)\)", check["what"])
    return (match[1], match[2]) if match else (check["what"], shown(check["detail"]))


def table(columns, rows):
    if not rows:
        return []
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return lines + ["| " + " | ".join(figure(cell) for cell in row) + " |" for row in rows] + [""]


def words_of(name):
    """A name of a document as words."""
    for end, unit in (("_us", ", us"), ("_ms", ", ms"), ("_kib", ", KiB"), ("_bytes", ", bytes"), ("_s", ", s")):
        if name.endswith(end) and not name.endswith("per_s") and not re.search(r"_(us|ms|kib)[_ ]", name):
            name = name[:-len(end)] + unit
            break
    return name.replace("_", " ")


# --- any document at all


def flat(value, prefix=""):
    """A tree's leaves, with their names joined."""
    if isinstance(value, dict):
        found = {}
        for name, inner in value.items():
            found.update(flat(inner, f"{prefix}{name} "))
        return found
    if isinstance(value, list):
        return {prefix.strip(): ", ".join(figure(item) for item in value if not isinstance(item, (dict, list)))}
    return {prefix.strip(): "" if value is None else value}


def columns_of(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


def tables_of(document, skip=()):
    """Objects that look alike become the rows of a table; what stands alone, a table of two columns."""
    lines, alone = [], []
    for name, value in document.items():
        if name in skip:
            continue
        inner = list(value.values()) if isinstance(value, dict) else value
        if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            rows = [flat(item) for item in inner]
            heads = columns_of(rows)
            keys = list(value) if isinstance(value, dict) else [str(i + 1) for i in range(len(rows))]
            if not isinstance(value, dict) and not isinstance(rows[0].get(heads[0]), float):
                lines += [f"{words_of(name)}:", "", *table([words_of(head) for head in heads],
                                                           [[row.get(head, "") for head in heads] for row in rows])]
            else:
                lines += [f"{words_of(name)}:", "", *table(["", *[words_of(head) for head in heads]], [
                    [words_of(key), *[row.get(head, "") for head in heads]] for key, row in zip(keys, rows)])]
        else:
            alone += [[words_of(key), leaf] for key, leaf in flat({name: value}).items()]
    return table(["", "measured"], alone) + lines


class Page:
    def __init__(self, docs):
        self.docs = pathlib.Path(docs)
        self.pictures = self.docs / "pictures"
        self.lines, self.drawn = [], set()

    def add(self, *lines):
        self.lines += lines

    def picture(self, name, text, about):
        self.pictures.mkdir(exist_ok=True)
        path = self.pictures / f"performance-{name}.svg"
        path.write_text(text)
        self.drawn.add(path)
        self.add(f"![{about}](pictures/{path.name})", "")

    def bars(self, name, title, rows, unit, log=False):
        rows = [(label, {key: value for key, value in values.items() if isinstance(value, (int, float))}) for label, values in rows]
        self.picture(name, svg.bars(title, [row for row in rows if row[1]], unit, log), title)

    def plot(self, name, title, series, x_name, y_name, **more):
        series = {key: points for key, points in series.items() if points}
        self.picture(name, svg.lines(title, series, x_name, y_name, **more), title)

    # --- the benchmarks

    def connect(self, document):
        titles, counts, cpu = document["titles"], document["instructions"], document["cpu"]
        plain = counts["plain"]
        rows = [[titles[name], row["full"], f"{(row['full'] / plain['full'] - 1) * 100:+.2f} %",
                 row.get("resumed", ""), f"{(row['resumed'] / plain['resumed'] - 1) * 100:+.2f} %" if "resumed" in row else ""]
                for name, row in counts.items()]
        self.add(f"Instructions of the broker (callgrind), TLS 1.3, one after the other, {document['connects']} of each:", "",
                 *table(["", "full handshake", "to no plugin", "resumed", "to no plugin"], rows))
        added = [(titles[name], {"full handshake": (row["full"] / plain["full"] - 1) * 100})
                 for name, row in counts.items() if name not in ("plain", "shipped")]
        self.bars("connect", "Instructions that a connect costs more than without a plugin, %", added, "%")
        rows = [[titles[name]] + [cell for kind in ("full", "resumed") for cell in
                                  ((row[kind]["us"], row[kind]["ratio"]) if kind in row else ("", ""))]
                for name, row in cpu.items() if isinstance(row, dict)]
        self.add(f"Microseconds of the broker's processor time, {cpu['at_once']} on their way at a time; the middle of {cpu['rounds']} "
                 f"rounds of {cpu['connects']}, all brokers in turn; the ratio is that of the same round:", "",
                 *table(["", "full", "to no plugin", "resumed", "to no plugin"], rows))

    def registry(self, document):
        sizes, commands, commits = document["sizes"], document["commands"], document["commits"]
        self.add("Start, until the first connect of a device is accepted, and what is kept:", "", *table(
            ["devices", "from the index, s", "all of it there, s", "from the ledger, s", "bare read of the rows, s", "index to bare read",
             "CPU, s: index", "ledger", "read", "resident each, bytes", "ledger each, bytes", "index each, bytes"],
            [[row["devices"], row["index_s"], row.get("index_whole_s", ""), row["ledger_s"], row["read_s"], row["index_ratio"], row["index_cpu_s"],
              row["ledger_cpu_s"], row["read_cpu_s"], row["index_bytes_each"], row["ledger_bytes"] / row["devices"],
              row["index_bytes"] / row["devices"]] for row in sizes]))
        self.plot("registry-start", "Start to the first accepted connect", {
            "from the index": [(row["devices"], row["index_s"]) for row in sizes],
            "from the ledger alone": [(row["devices"], row["ledger_s"]) for row in sizes],
            "a bare read of the rows": [(row["devices"], row["read_s"]) for row in sizes],
            "dynamic-security (CPU)": [(row["devices"], row["start_cpu_s"]) for row in commands if row["who"] == "dynsec"]},
            "registered devices", "seconds")
        who = {"keyturn": "Keyturn", "dynsec": "dynamic-security"}
        self.add("A command, one after the other: microseconds of the broker's own thread, and until the answer:", "", *table(
            ["", "devices", "create", "disable", "enable", "all threads (disable)", "answer p50 (disable)", "p99", "resident, KiB"],
            [[who[row["who"]], row["devices"], *[row[kind]["main_us"] for kind in ("create", "disable", "enable")],
              row["disable"]["all_us"], row["disable"]["p50_us"], row["disable"]["p99_us"], row["rss_kib"]] for row in commands]))
        self.plot("registry-command", "A command on the broker's thread (quarantine, disableClient)", {
            title: [(row["devices"], row["disable"]["main_us"]) for row in commands if row["who"] == name]
            for name, title in who.items()}, "registered devices", "microseconds")
        latency = document["latency"]
        self.add(f"One command at {latency['devices']:,} devices and one fdatasync beside the ledger, in turn: p50 "
                 f"{latency['disable']['p50_us']:,} us and {latency['fdatasync']['p50_us']:,} us, p99 "
                 f"{latency['disable']['p99_us']:,} us and {latency['fdatasync']['p99_us']:,} us.", "")
        ways = {"ledger": "the ledger", "sqlite": "SQLite, the device's row", "sqlite_log": "SQLite, one more row",
                "fdatasync": "write and fdatasync alone"}
        self.add(f"Records made durable (SQLite: WAL, synchronous = FULL; {commits['devices']:,} rows):", "", *table(
            ["", f"groups of {commits['group']}: a second", "CPU each, us", "one at a time: a second", "CPU each, us", "p50, us"],
            [[title, commits["groups"][way]["records_per_s"], commits["groups"][way]["cpu_us"], commits["single"][way]["records_per_s"],
              commits["single"][way]["cpu_us"], commits["single"][way]["p50_us"]] for way, title in ways.items()]))
        self.bars("registry-commits", f"Records made durable in a second, in groups of {commits['group']}",
                  [(title, {"": commits["groups"][way]["records_per_s"]}) for way, title in ways.items()], "/s")

    def agent(self, document):
        names = [name for name in ("keyturn-agent", "mosquitto_sub", "certmonger") if name in document["idle"]]
        idle, size, start = document["idle"], document["size"], document["start"]
        rows = [["binary, KiB (stripped)", *[size[name]["binary_bytes"] / 1024 for name in names]],
                ["libraries but the C library", *[size[name]["libraries"] for name in names]],
                ["their size, KiB", *[size[name]["library_bytes"] / 1024 for name in names]],
                ["ready after, ms", *[start[name]["seconds"] * 1000 for name in names]],
                ["CPU until then, ms", *[start[name]["cpu_s"] * 1000 for name in names]]]
        for key, title in (("rss_kib", "resident, KiB"), ("pss_kib", "its share of it (PSS), KiB"), ("private_dirty_kib", "private and dirty, KiB"),
                           ("threads", "threads"), ("own_wakes_per_minute", "wake-ups a minute, own threads"),
                           ("library_wakes_per_minute", "wake-ups a minute, the library's"),
                           ("own_cpu_ms_per_minute", "CPU a minute, own threads, ms"),
                           ("library_cpu_ms_per_minute", "CPU a minute, the library's, ms")):
            rows.append([title, *[idle[name][key] for name in names]])
        self.add(f"Size, start, and {idle['seconds']} idle seconds. The agent has a thread for itself and one for each of its three links, "
                 "which wait until there is something to do; the last is the MQTT library's (Paho), which looks ten times a second:", "",
                 *table(["", *names], rows))
        self.bars("agent-memory", "Memory of the idle, connected programs, KiB", [
            (name, {"PSS": idle[name]["pss_kib"], "private and dirty": idle[name]["private_dirty_kib"]}) for name in names], "KiB")
        rotation, flash, peak = document["rotation"], document["flash"], document["peak"]
        wire, none = rotation["wire"], ""
        rows = [["opened to committed, ms (p50)", rotation["opened_to_committed"]["p50_ms"], none],
                ["opened to promoted, ms (p50)", rotation["opened_to_promoted"]["p50_ms"], rotation.get("certmonger_s", 0) * 1000 or none],
                ["CPU, ms", rotation["cpu_ms"], none],
                ["bytes sent (frames)", f"{wire['sent_bytes']:,.0f} ({wire['sent_frames']:.0f})", none],
                ["bytes received (frames)", f"{wire['received_bytes']:,.0f} ({wire['received_frames']:.0f})", none]]
        both = [flash.get(name, {}) for name in ("keyturn-agent", "certmonger")]
        for key, title in (("bytes", "bytes written to files"), ("writes", "writes"), ("blocks_4k", "blocks of 4 KiB that they touch"),
                           ("syncs", "fsync and fdatasync")):
            rows.append([title, *[row.get(key, none) for row in both]])
        both = [peak.get(name, {}) for name in ("keyturn-agent", "certmonger")]
        for key, title in (("pss_kib", "peak meanwhile, PSS, with helpers, KiB"), ("rss_kib", "peak, resident, with helpers, KiB"),
                           ("own_rss_kib", "peak, resident, of the process alone, KiB")):
            rows.append([title, *[row.get(key, none) for row in both]])
        self.add(f"One rotation, the middle one of {rotation['count']}; beside it certmonger's `rekey` of a self-signed certificate, which "
                 "needs no network:", "", *table(["", "keyturn-agent", "certmonger"], rows))

    def ends(self, document):
        rows, plots = [], {}
        for run in document["runs"]:
            groups = {"": run} if any("p50" in value for value in run.values() if isinstance(value, dict)) else run
            for group, figures in groups.items():
                if not isinstance(figures, dict):
                    continue
                for name, value in figures.items():
                    if isinstance(value, dict):
                        title = f"{group} {name}".strip().replace("_", " ")
                        rows.append([title, run["sessions"], value["p50"] / 1000, value["p99"] / 1000, value["max"] / 1000])
                        plots.setdefault(title, []).append((run["sessions"], value["p99"] / 1000))
        rows.sort(key=lambda row: row[0])
        self.add("Milliseconds, with so many sessions live meanwhile:", "", *table(["", "sessions", "p50", "p99", "max"], rows))
        self.plot(document["benchmark"], f"{TITLES[document['benchmark']]}: p99", plots, "live sessions", "milliseconds")

    revoke = supersede = expire = ends

    def rotation(self, document):
        self.any(document)
        peer, split = document.get("peer_us") or {}, document["split_us"]
        rows = [("Keyturn, the whole broker", document["cpu_us"]), ("the floor: two handshakes, signatures", document["floor_us"]["all"]),
                ("one bare mTLS connect", document["bare_connect_us"]), ("cfssl and dynamic-security", sum(peer.values()) if peer else "")]
        self.bars("rotation", "Processor's time of one rotation", [(label, {"": value}) for label, value in rows], "us")
        self.bars("rotation-parts", "What a rotation costs the broker", [(words_of(name), {"": value}) for name, value in split.items()], "us")

    def stall(self, document):
        self.any(document)
        self.bars("stall", "Publish to delivery of uninvolved clients, ms", [
            (name, {"p50": phase["p50_us"] / 1000, "p99": phase["p99_us"] / 1000}) for name, phase in document["phases"].items()], "ms")

    def scale(self, document):
        self.any(document)
        self.plot("scale", "What a hub costs the broker, in bare connects", {
            words_of(name): [(row["hubs"], row[name + "_in_bare"]) for row in document["sizes"] if name + "_in_bare" in row]
            for name in ("connect", "challenge", "rotation")}, "live hubs", "bare connects")

    # --- those that bring their own, and all others

    def brought(self, document):
        for i, one in enumerate(document.get("tables", [])):
            self.add(one["title"] + ":", "", *table(one["columns"], one["rows"]))
        for i, one in enumerate(document.get("plots", [])):
            name = f"{document['benchmark']}-{i + 1}"
            if "bars" in one:
                self.bars(name, one["title"], [(label, values) for label, values in one["bars"]], one.get("unit", ""))
            else:
                self.plot(name, one["title"], one["series"], one["x"], one["y"], log_x=one.get("log_x", True),
                          log_y=one.get("log_y", True))

    def any(self, document):
        self.add(*tables_of(document, ("benchmark", "targets", "tables", "plots", "unit")))

    # --- the page

    def section(self, result):
        name, document = result["name"], result["document"]
        self.add(f"## {TITLES.get(name, name.capitalize())}", "", f"`tests/bench/run.sh {name}`: {result['passed']} checks passed, "
                 f"{result['failed']} failed.", "")
        words = self.docs / "performance" / f"{name}.md"
        if words.exists():
            self.add(words.read_text().strip(), "")
        if document:
            getattr(self, name if name in OWN else "any")(document)
            self.brought(document)
        told = [target["what"] for target in (document or {}).get("targets", [])]  # stand in the table of all targets
        failed = [check for check in result["checks"] if not check["ok"] and not check["what"].startswith(tuple(told) or "\n")]
        if failed:
            self.add("What failed:", "", *[f"- {check['what']}" + (f" ({shown(check['detail'])})" if check["detail"] else "") for check in failed], "")

    def targets(self, results):
        rows = []
        for result in results:
            document = result["document"] or {}
            if "targets" in document:
                rows += [[result["name"], target["what"], target["value"],
                          f"{'≥' if target.get('at_least') else '≤'} {figure(target['limit'])}", "met" if target["met"] else "**missed**"]
                         for target in document["targets"]]
            else:
                rows += [[result["name"], *split(check), "", "met" if check["ok"] else "**missed**"]
                         for check in result["checks"] if LIMIT_WORDS.search(check["what"])]
        missed = sum(row[-1] != "met" for row in rows)
        self.add("## Targets", "", f"{len(rows) - missed} of {len(rows)} are met. All are ratios within one run, or counts; what is a time "
                 "says so.", "", *["| benchmark | what | measured | limit | |", "|---|---|---:|---:|---|"],
                 *["| " + " | ".join(figure(cell) for cell in row) + " |" for row in rows], "")

    def write(self, machine, results):
        software = ", ".join(f"{name} {version}" for name, version in machine["software"].items())
        self.add("# Performance", "",
                 "Made by `docs/performance.sh` out of what `tests/bench/run.sh all --json` says; not written by hand. `tests/README.md` says "
                 "what each benchmark does, and how to run one alone.", "",
                 f"Measured on {machine['processors']} processors ({machine['architecture']}), {machine['memory_gib']} GiB of memory, "
                 f"{machine['kernel']}, {machine['distribution']}; {software}. Times are this machine's; ratios are of one and the same run.", "")
        self.targets(results)
        for result in results:
            self.section(result)
        (self.docs / "PERFORMANCE.md").write_text("\n".join(self.lines).rstrip() + "\n")
        for path in self.pictures.glob("performance-*.svg"):
            if path not in self.drawn:
                path.unlink()


def read(paths):
    machine, found = None, {}
    for path in paths:
        document = json.loads(pathlib.Path(path).read_text())
        if document.get("benchmark") == "all":
            machine = document["machine"]
            found.update({result["name"]: result for result in document["results"]})
        else:
            found[document["name"]] = document
    names = [name for name in ORDER if name in found] + sorted(name for name in found if name not in ORDER)
    return machine or results_of.machine(), [found[name] for name in names]


def main(words):
    page = Page(words[0])
    machine, results = read(words[1:])
    page.write(machine, results)
    print(f"{page.docs}/PERFORMANCE.md: {len(results)} benchmarks, {len(page.drawn)} plots")


if __name__ == "__main__":
    main(sys.argv[1:])
