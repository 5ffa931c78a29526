"""tests/faults.sh malloc: allocations that fail, in the plugin of a real broker and in real agents.

Each scene is counted untouched; then its allocations fail, one by one and from one on, and after each the system must
be as if it had only taken longer.
"""

import subprocess
import sys

import malloc_agent
import malloc_broker
import malloc_start
from broker_scenes import SCENES
from place import AGENT, BUILD
from report import Report, workers

KINDS = {"crash": "crashes", "half": "half_applied", "lost": "facts_lost", "retired": "retired_accepted",
         "refused": "lockouts", "lock-out": "lockouts"}


def run(index, count, put, tmp, every, only):
    """Every scene, each worker its share of the points."""
    share = (index, count)
    scenes = {name: malloc_broker.run_scene for name in SCENES}
    scenes.update((name, malloc_start.run_start) for name in ("start", "stop"))
    scenes.update((name, malloc_agent.run_agent) for name in malloc_agent.SCENES)
    for name, function in scenes.items():
        if only in ("", name):
            function(f"{tmp}/place-{index}", name, share, every, put)


def source_of(item):
    """file:line of the allocation, where the failure can be told of one program."""
    program = AGENT if item["scene"].startswith("agent") else BUILD + "/mosquitto_keyturn.so"
    try:
        said = subprocess.run(["addr2line", "-fe", program, item["where"]], capture_output=True, text=True, check=False).stdout
        return " ".join(said.split("\n"))
    except (OSError, KeyError):
        return "?"


def main():
    tmp, every, jobs, is_json, only = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "json", sys.argv[5]
    report = Report("malloc", is_json)
    report.counts.update(crashes=0, half_applied=0)
    scenes, allocations, paths, runs, untouched = {}, 0, 0, 0, 0
    for item in workers(jobs, run, tmp, every, only):
        if "broken" in item:
            report.bad("malloc: a worker broke off", "other_failures", item["broken"])
            continue
        name = f"{item['scene']}, allocation {item['n']} {'alone' if item['how'] == 'once' else 'and all after it'}"
        figures = scenes.setdefault(item["scene"], {"runs": 0, "hit": 0})
        if item["how"] == "count" and "count" in item:
            if "count" not in figures:
                allocations, paths = allocations + item["count"], paths + item["paths"]
                figures.update(item)
        elif item["how"] != "count":
            runs += 1
            figures["runs"] += 1
            figures["hit"] += 1 if item.get("failed") else 0
            untouched += 0 if item.get("failed") else 1
            figures["ended"] = figures.get("ended", 0) + item.get("ended", 0) + item.get("refused", 0)
        if "error" in item:
            word = item["error"].partition(": ")[2].partition(":")[0]
            report.bad(name, KINDS.get(word, "other_failures"), f"{item['error']}\n{source_of(item)}\n{item.get('log', '')}")
        else:
            report.good()
    for name, figures in sorted(scenes.items()):
        report.say(f"{name}: {figures.get('count', 0)} allocations ({figures.get('direct', 0)} of them our own code's) on "
                   f"{figures.get('paths', 0)} call paths; {figures.get('points', 0)} points, {figures['runs']} runs, {figures['hit']} hit" +
                   (f"; {figures['ended']} ended for want of memory, and said so" if figures.get("ended") else ""))
    points = sum(figures.get("points", 0) for figures in scenes.values())
    report.figures = {"scenes": len(scenes), "allocations": allocations, "call_paths": paths, "points": points, "runs": runs,
                      "runs_not_hit": untouched}
    report.check("allocations failed", runs > untouched)
    report.finish()


if __name__ == "__main__":
    main()
