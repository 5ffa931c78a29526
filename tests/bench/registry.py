"""tests/bench/run.sh registry: what a registry of N devices costs: to start with, to keep, to change.

Beside it: a bare read of the index's rows, fdatasync and SQLite alone, and dynamic-security with its clients.
"""

import os
import pathlib
import time

from play import Bench, cpu_ns, dynsec_plugin, median, paired, size_of, write_dynsec
from processes import rss_kib

START_LIMIT = 1.5          # of the bare read, ready from the index
BYTES_LIMIT = 128          # resident, for each device
SAME_LIMIT = 1.1           # a command at the largest registry, in one at the smallest
DYNSEC_SHARE = 1 / 1000    # a command, in dynamic-security's with the most clients
COMMIT_LIMIT = 3           # records a second in groups, in SQLite's
KINDS = ("create", "disable", "enable")


class Registry(Bench):
    def __init__(self):
        super().__init__("registry", devices=[1000, 10000, 100000, 1000000], clients=[1000, 10000, 50000], rounds=5,
                         commands=500, groups=300, group=64)
        self.sizes, self.clients = sorted(self.args.devices), sorted(self.args.clients)
        self.largest = self.sizes[-1]
        self.rows = {size: {"devices": size} for size in self.sizes}
        self.base_kib = 0

    # --- ready, and how large

    def ready(self, broker, identities):
        """A start until the first connect of a device was accepted: wall and processor's seconds."""
        broker.start(wait=False)
        out = self.run([self.program("bench_connect"), broker.port, identities, 1, 1, "await"], timeout=self.patience)
        cpu = cpu_ns(broker.pid) / 1e9
        return int(out) / 1e6 - broker.began, cpu

    def whole(self, broker, size):
        """Until all devices are there, if the first connects were served before."""
        end = time.monotonic() + self.patience
        while True:
            counts = broker.ctl("status")["counts"]
            if counts["devices"] >= size or time.monotonic() > end:
                return counts
            time.sleep(0.05)

    def start(self, size, source, figures):
        broker, place = self.keyturn[size], self.place(size)
        index = place / "state" / "index.sqlite"
        if source == "ledger":
            for path in place.glob("state/index.sqlite*"):
                path.unlink()
        wall, cpu = self.ready(broker, place / "identities")
        figures[source].append(wall)
        figures[source + "_cpu"].append(cpu)
        counts = self.whole(broker, size)
        figures[source + "_whole"].append(time.time() - broker.began)
        figures[source + "_rss"].append(rss_kib(broker.pid))
        figures[source + "_peak"].append(rss_kib(broker.pid, "VmHWM"))
        good = (counts["devices"], counts["active"]) == (size, size)
        stopped = broker.stop()
        if not (good and stopped and broker.has_line("event=index.rebuilt") == (source == "ledger")):
            self.check(f"{size} devices: a start from the {source}", False, f"{counts}, ended {stopped}")
        return index

    def read_rows(self, size, index, figures):
        words = self.run([self.program("bench_store"), "rows", index]).split()
        if int(words[2]) < 2 * size:  # of each device its row, and that of its credential
            self.check(f"{size} devices: the index has their rows", False, words)
        figures["read"].append(int(words[3]) / 1e6)
        figures["read_cpu"].append(int(words[4]) / 1e6)

    def place(self, size):
        return pathlib.Path(self.top, f"fleet-{size}")

    def starts(self):
        bare = self.add_broker("bare", anonymous=True)
        empty = self.add_broker("ten", plugin=True, fleet=self.make_fleet("fleet-ten", 10, 10), socket=True)
        first = self.place(self.sizes[0]) / "identities"
        names = ("index", "ledger", "read")
        figures = {size: {name + more: [] for name in names for more in ("", "_cpu", "_rss", "_peak", "_whole")}
                   for size in self.sizes}
        others = {"bare": [], "ten": []}
        for _ in range(self.args.rounds):
            for broker, identities in ((bare, first), (empty, self.top + "/fleet-ten/identities")):
                others[broker.name].append((*self.ready(broker, identities), rss_kib(broker.pid)))
                broker.stop()
            for size in self.sizes:
                index = self.start(size, "ledger", figures[size])
                self.start(size, "index", figures[size])
                self.read_rows(size, index, figures[size])
        self.base_kib = median([row[2] for row in others["ten"]])
        self.document["bare"] = {name: {"ready_s": median([row[0] for row in rows]), "rss_kib": median([row[2] for row in rows])}
                                 for name, rows in others.items()}
        for size in self.sizes:
            self.sum_up(size, figures[size])

    def sum_up(self, size, figures):
        row, place = self.rows[size], self.place(size)
        for name in ("index", "ledger", "read"):
            row[name + "_s"], row[name + "_cpu_s"] = median(figures[name]), median(figures[name + "_cpu"])
        for source in ("index", "ledger"):
            row[source + "_ratio"] = paired(figures, source, "read")
            row[source + "_bytes_each"] = (median(figures[source + "_rss"]) - self.base_kib) * 1024 / size
            row[source + "_whole_s"] = median(figures[source + "_whole"])
            row[source + "_peak_kib"] = median(figures[source + "_peak"])
        row["rss_kib"] = median(figures["index_rss"])
        row["ledger_bytes"] = size_of(place / "ledger")
        row["index_bytes"] = sum(path.stat().st_size for path in place.glob("state/index*"))
        self.tell(f"registry, {size} devices: ready after {row['index_s']:.2f} s from the index ({row['index_cpu_s']:.2f} s "
                  f"CPU), {row['ledger_s']:.2f} s from the ledger ({row['ledger_cpu_s']:.2f} s CPU); a bare read of the "
                  f"rows {row['read_s']:.2f} s ({row['read_cpu_s']:.2f} s CPU)")
        self.tell(f"  {row['index_bytes_each']:.0f} B resident each from the index, {row['ledger_bytes_each']:.0f} from the "
                  f"ledger; on the disk {row['ledger_bytes'] / size:.0f} B each in the ledger, {row['index_bytes'] / size:.0f} "
                  f"in the index")

    # --- a command

    def commands(self):
        brokers = {("keyturn", size): self.keyturn[size] for size in self.sizes}
        for clients in self.clients:
            name = f"dynsec-{clients}"
            path = pathlib.Path(self.top, name)
            path.mkdir()
            write_dynsec(path / "clients.json", clients, 0, "")
            broker = self.add_broker(name, anonymous=True, socket=True, lines=[
                f"plugin {dynsec_plugin()}", f"plugin_opt_config_file {path}/clients.json"])
            brokers["dynsec", clients] = broker
        starts = {}
        for key, broker in brokers.items():
            broker.start()
            starts[key] = cpu_ns(broker.pid) / 1e9
        figures = {key: {} for key in brokers}
        for turn in range(self.args.rounds):
            for key, broker in brokers.items():
                self.command_round(key, broker, turn, figures[key])
        self.latency(brokers["keyturn", self.largest])
        for key in brokers:
            self.command_row(key, figures[key], starts[key], brokers[key])
        self.check_states(brokers)
        self.stop_all()

    def command_round(self, key, broker, turn, figures):
        """Fewer for dynamic-security: each takes as long as thousands of ours."""
        count = self.args.commands if key[0] == "keyturn" else max(5, min(100, 100000 // key[1]))
        count = min(count, key[1] - 10)
        size = broker.dir / "clients.json"
        before = os.stat(size).st_size if key[0] == "dynsec" else 0
        out = self.run([self.program("bench_command"), key[0], broker.socket, broker.pid, count, 10, key[1], turn])
        if key[0] == "dynsec" and os.stat(size).st_size <= before:
            self.check(f"{broker.name}: its file has the new clients", False)
        figures["count"] = figures.get("count", 0) + count
        for line in out.splitlines():
            main_ns, all_ns, name, number, p50, p99, _ = line.split()
            figures.setdefault(name, []).append(int(main_ns) / int(number) / 1000)
            figures.setdefault(name + "_all", []).append(int(all_ns) / int(number) / 1000)
            figures.setdefault(name + "_p50", []).append(int(p50))
            figures.setdefault(name + "_p99", []).append(int(p99))

    def command_row(self, key, figures, start_s, broker):
        row = {"who": key[0], "devices": key[1], "start_cpu_s": start_s, "rss_kib": rss_kib(broker.pid), "commands": figures["count"]}
        for kind in KINDS:
            row[kind] = {"main_us": median(figures[kind]), "all_us": median(figures[kind + "_all"]),
                         "p50_us": median(figures[kind + "_p50"]), "p99_us": median(figures[kind + "_p99"])}
        if key[0] == "dynsec":
            row["file_bytes"] = os.stat(broker.dir / "clients.json").st_size
        self.document.setdefault("commands", []).append(row)
        self.command_figures[key] = figures
        self.tell(f"  {key[0]:8} {key[1]:8d}: the broker's thread, microseconds a command: " +
                  ", ".join(f"{kind} {row[kind]['main_us']:.0f}" for kind in KINDS) +
                  f"; an answer after {row['disable']['p50_us']:.0f} (p50); start {start_s:.2f} s CPU, {row['rss_kib']} KiB")

    def latency(self, broker):
        """One command beside one fdatasync, in turn."""
        out = self.run([self.program("bench_command"), "keyturn", broker.socket, broker.pid, min(500, self.largest - 10), 10,
                        self.largest, self.args.rounds, self.place(self.largest) / "ledger" / "fdatasync.bench"])
        rows = {words[2]: {"p50_us": int(words[4]), "p99_us": int(words[5])} for words in map(str.split, out.splitlines())}
        self.latencies = self.document["latency"] = {"devices": self.largest, **rows}
        self.tell(f"  one command, from its PUBLISH to the answer: p50 {rows['disable']['p50_us']} us, p99 "
                  f"{rows['disable']['p99_us']}; fdatasync alone {rows['fdatasync']['p50_us']} and {rows['fdatasync']['p99_us']}")

    def check_states(self, brokers):
        """Every command has done what it says."""
        for size in self.sizes:
            broker = brokers["keyturn", size]
            made = self.command_figures["keyturn", size]["count"]
            if size == self.largest:
                made += self.latency_count
            counts = broker.ctl("status")["counts"]
            self.check(f"{size} devices: {made} more, none quarantined any more, says keyturnctl",
                       (counts["devices"], counts["quarantined"]) == (size + made, 0), counts)

    # --- commits

    def commits(self):
        devices = min(self.largest, 1000000)
        document = self.document["commits"] = {"group": self.args.group, "devices": devices}
        for what, groups, group in (("groups", self.args.groups, self.args.group), ("single", self.args.groups, 1)):
            path = pathlib.Path(self.top, f"commits-{what}")
            path.mkdir()
            out = self.run([self.program("bench_store"), "commits", path, self.args.rounds, groups, group, devices])
            rates = {}
            for words in map(str.split, out.splitlines()):
                row = rates.setdefault(words[0], {"rate": [], "cpu": [], "p50": [], "p99": []})
                records, wall, cpu, p50, p99 = (int(word) for word in words[1:])
                for name, value in (("rate", records / wall * 1e6), ("cpu", cpu / records), ("p50", p50), ("p99", p99)):
                    row[name].append(value)
            document[what] = {way: {"records_per_s": median(row["rate"]), "cpu_us": median(row["cpu"]),
                                    "p50_us": median(row["p50"]), "p99_us": median(row["p99"])} for way, row in rates.items()}
            document[what]["ratio"] = paired({way: row["rate"] for way, row in rates.items()}, "ledger", "sqlite")
            for way, row in rates.items():
                self.tell(f"  {what}, {way:10}: {median(row['rate']):8.0f} records a second, {median(row['cpu']):6.1f} us CPU "
                          f"each, p50 {median(row['p50']):.0f} us")
        self.at_least(f"records made durable in groups of {self.args.group}: the ledger's rate in SQLite's",
                      document["groups"]["ratio"], COMMIT_LIMIT)

    # --- all of it

    def judge(self):
        row = self.rows[self.largest]
        self.target(f"{self.largest} devices: ready from the index, in a bare read of its rows", row["index_ratio"], START_LIMIT)
        for source in ("index", "ledger"):
            self.target(f"{self.largest} devices: bytes resident for each, started from the {source}",
                        row[source + "_bytes_each"], BYTES_LIMIT)
        keys = [key for key in self.command_figures if key[0] == "keyturn"]
        small, large = self.command_figures[keys[0]], self.command_figures[keys[-1]]
        most = self.command_figures["dynsec", self.clients[-1]]
        for kind in KINDS:
            if len(keys) > 1:
                self.target(f"a command ({kind}) on the broker's thread, {keys[-1][1]} devices to {keys[0][1]}",
                            paired({"large": large[kind], "small": small[kind]}, "large", "small"), SAME_LIMIT)
            self.target(f"a command ({kind}), {keys[-1][1]} devices, in dynamic-security's at {self.clients[-1]}",
                        paired({"ours": large[kind], "theirs": most[kind]}, "ours", "theirs"), DYNSEC_SHARE)

    def play(self):
        self.command_figures = {}
        self.latency_count = min(500, self.largest - 10)
        self.keyturn = {}
        for size in self.sizes:
            place = self.make_fleet(f"fleet-{size}", size, 10)
            self.keyturn[size] = self.add_broker(f"keyturn-{size}", plugin=True, fleet=place, socket=True)
        self.starts()
        self.commands()
        self.commits()
        self.document["sizes"] = list(self.rows.values())
        self.judge()


if __name__ == "__main__":
    bench = Registry()
    bench.main(bench.play)
