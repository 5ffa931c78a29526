"""tests/crash.sh agent: one rotation, the agent ended (or its call failed) at every call that counts.

For each point the operator orders a rotation, the agent starts with the shim and is killed in place of its n-th call
(or that call fails); then it is started as it always is, and all must be well without help.
"""

import sys
import time

from place import Failed, Hub, Place, need, wait_until
from report import Report, workers

HOWS = ("kill", "EIO", "ENOSPC")


def point(hub, n, how):
    """One rotation that is hit at call n. What was hit (None: nothing, it was over before), and the recovery's time."""
    place = hub.place
    old = hub.keep_identity()
    op = place.ask("rotate", device=hub.name)["op"]
    hub.run(hub.shim.env(n, how))
    began, first = time.monotonic(), hub.agent

    def is_well():
        return hub.is_done(op) and hub.is_in_session()

    wait_until("the rotation or the agent's end", lambda: not first.is_running() or is_well())
    hub.shim.switch_off()
    if hub.shim.hit() and how == "kill" or not first.is_running():
        first.wait()
        need(hub.shim.hit() is not None, "the agent ended by itself")
        began = time.monotonic()
        hub.run()
    wait_until("the rotation's end and a session", is_well)
    took = time.monotonic() - began if hub.shim.hit() else 0
    device = place.ask("getDevice", device=hub.name)
    hub.need_working(device)
    hub.need_clean()
    need(place.is_refused(hub.name + ":agent", old), f"retired: the old key gets {place.code_as(hub.name + ':agent', old)}")
    need(place.code_as(hub.name, hub.identity()) == 0, "the new key is not let in as the hub's application")
    hub.agent.stop()
    return hub.shim.hit(), took


def run(index, count, put, tmp, every):
    place = Place(f"{tmp}/place-{index}")
    place.start()
    hubs = 1
    hub = Hub(place, "hub-1").enrolled()
    for how in HOWS:
        n = 1 + index * every
        while True:
            try:
                kind, took = point(hub, n, how)
                put({"n": n, "how": how, "kind": kind, "took": took, "calls": hub.shim.count()})
                if kind is None:
                    break
            except (Failed, OSError, AssertionError) as error:
                put({"n": n, "how": how, "kind": hub.shim.hit(), "error": str(error), "log": hub.last_lines()})
                hub.agent.kill()
                hubs += 1  # that one is not what the next point needs
                hub = Hub(place, f"hub-{hubs}").enrolled()
            n += count * every
    place.broker.stop()


def main():
    tmp, every, jobs, is_json = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "json"
    report = Report("agent", is_json)
    points = dict.fromkeys(HOWS, 0)
    kinds = {}
    calls = 0
    for item in workers(jobs, run, tmp, every):
        name = f"agent, {item.get('how')} at call {item.get('n')} ({item.get('kind')})"
        if "broken" in item:
            report.bad("agent: a worker broke off", "other_failures", item["broken"])
        elif "error" in item:
            kind = "retired_accepted" if item["error"].startswith("retired") else "lockouts"
            report.bad(name, kind, item["error"] + "\n" + item["log"])
        else:
            report.good()
            if item["kind"] is None:
                calls = max(calls, item["calls"])
                continue
            points[item["how"]] += 1
            kinds[item["kind"]] = kinds.get(item["kind"], 0) + 1
            report.took(name, item["took"])
    report.figures = {"points": sum(points.values()), **{f"points_{how.lower()}": n for how, n in points.items()},
                      "calls_of_a_rotation": calls, "states": 0}
    report.say("hit: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    for how in HOWS:
        report.check(f"points were hit by {how}", points[how] > 0)
    report.finish()


main()
