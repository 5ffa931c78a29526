"""What the benchmarks have in common that are led from Python (bench/lead.sh starts them)."""

import argparse
import json
import os
import subprocess

from drive import Drive

PATIENCE = 120


def base_options():
    """Those that bench/lead.sh gives to each; finished() adds what Drive wants."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True)
    parser.add_argument("--build", required=True)
    return parser


def place(text):
    """PID:PORT of a broker."""
    return tuple(int(part) for part in text.split(":"))


def finished(args, name, hubs, broker_pid, at_a_time):
    args.scenario, args.hubs, args.at_a_time, args.broker_pid = "rotate", hubs, at_a_time, broker_pid
    args.document, args.program, args.ctl = (f"{args.top}/{name}.json", args.build + "/tests/keyturn-fleet",
                                             args.build + "/keyturnctl")
    return args


def threads_ns(pid):
    """Processor time of each thread by its name; `broker`: the first one. Exact, as ticks are not."""
    used = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm") as comm, open(f"/proc/{pid}/task/{tid}/schedstat") as stat:
                name = "broker" if int(tid) == pid else comm.read().strip()
                used[name] = used.get(name, 0) + int(stat.read().split()[0])
        except FileNotFoundError:  # it has just ended
            continue
    return used


class Used:
    """Processor time between two moments, by thread, in microseconds."""

    def __init__(self, pid):
        self.pid, self.before = pid, threads_ns(pid)

    def us(self):
        now = threads_ns(self.pid)
        return {name: (now[name] - self.before.get(name, 0)) / 1000 for name in now}

    def total_us(self):
        return sum(self.us().values())


class Bench(Drive):
    """A Drive that measures: programs of the build beside the fleet, ratios, a document."""

    def program(self, name, *arguments, before=()):
        return subprocess.Popen([*before, f"{self.args.build}/tests/{name}"] + [str(a) for a in arguments], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def result(self, process, timeout=PATIENCE):
        """The JSON that it ends with."""
        out, _ = process.communicate(timeout=timeout)
        if process.returncode != 0:
            raise RuntimeError(f"{process.args}: exit {process.returncode}")
        return json.loads(out)

    def at_most(self, name, value, base, limit):
        self.scene.check(f"{name}: at most {limit} ({value / base:.3f})", value <= limit * base,
                         f"{value:.3f} to {base:.3f} are {value / base:.3f}")

    def at_least(self, name, value, limit):
        self.scene.check(f"{name}: at least {limit} ({value:.3f})", value >= limit, f"{value:.3f}")

    def write(self, document):
        with open(self.args.document, "w") as file:
            file.write(json.dumps(document, separators=(",", ":")) + "\n")


def rounded(value, digits=3):
    """All numbers of a document."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {name: rounded(item, digits) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    return value
