"""tests/faults.sh fds: no descriptor is left, in the broker and in an agent, and what is going on then.

Two ways to it: connections up to the limit, and a limit that comes down while everything runs. After it all is as before.
"""

import os
import resource
import signal
import socket
import sys

from alloc_page import PLUGIN, Page
from broker_scenes import Reload
from fault_place import FaultPlace
from mqtt5 import Closed, Timeout
from place import AGENT, Failed, Hub, Process, need, wait_until
from report import Report, workers
from scene import NOT_AUTHORIZED

LIMIT = 120


def open_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Squeeze:
    """Takes the descriptors of a process away, and gives them back."""

    def __init__(self, pid, port=None):
        self.pid, self.port, self.sockets = pid, port, []
        self.before = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def by_connections(self):
        """Until the broker takes none any more."""
        def is_full():
            taken = socket.socket()
            taken.settimeout(2)
            taken.connect(("127.0.0.1", self.port))
            self.sockets.append(taken)
            return open_count(self.pid) >= self.before[0]

        wait_until("the last descriptor", is_full, 30)

    def by_limit(self):
        """Not one more than are open: the lowest limit that takes none away."""
        numbers = {int(name) for name in os.listdir(f"/proc/{self.pid}/fd")}
        free = min(set(range(max(numbers) + 2)) - numbers)  # a new one would get this number
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (free, self.before[1]))

    def end(self):
        for taken in self.sockets:
            taken.close()
        self.sockets = []
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)


class Drought:
    """A broker, a hub that is in session by its agent, one to be revoked, and an operator who is connected."""

    def __init__(self, path, way):
        self.place, self.way = FaultPlace(path, crl=True), way
        self.place.page = Page(path + "/unused", PLUGIN)

    def start(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
        self.place.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.hub = Hub(self.place, "agent").enrolled()
        self.hub.run()
        wait_until("a session", self.hub.is_in_session)
        self.gone = self.place.imported("gone")
        self.gone.online()
        self.reload = Reload(self.place)
        self.reload.prepare()
        self.place.told("status")  # the operator's connection is there
        self.squeeze = Squeeze(self.place.broker.child.pid, self.place.port)
        self.tighten()

    def tighten(self):
        """Again, where a session that ended has left some."""
        getattr(self.squeeze, "by_" + self.way)()

    def stop(self):
        self.squeeze.end()

    def nobody_comes_in(self):
        for name in (self.gone.name, "nobody"):
            try:
                code = self.place.try_as(name, self.gone.identity)
            except (OSError, TimeoutError):
                code = "closed"
            need(code in ("closed", NOT_AUTHORIZED), f"a connect without a descriptor: {code}")
        self.place.need_alive()

    def operator_goes_on(self):
        need(self.place.told("status")["ledgerOk"], "store: not well")
        self.place.told("createDevice", device="dry-1")
        self.op = self.place.told("rotate", device=self.hub.name)["op"]

    def revoke(self):
        self.place.told("revoke", device=self.gone.name, emergency=True)
        need(self.gone.agent.is_closed_within(10), "retired: revoked, and in session still")

    def sighup(self):
        """Where no file can be opened what was in force is, and it is said."""
        self.tighten()
        begin = self.place.log_size()
        os.kill(self.place.broker.child.pid, signal.SIGHUP)
        said = self.place.lines_since
        wait_until("a word about the configuration", lambda: said(begin, r"event=config\.re\w+"), 20, lambda: self.place.log_from(begin))
        # a broker that denies a connect for want of descriptors has that connect's own again, which is enough to read a file
        is_refused = said(begin, r"event=(config\.re\w+)") == ["config.refused"]
        need(is_refused or self.way == "connections", f"it can be read, it says: {self.place.log_from(begin)}")
        need(self.reload.may() is not is_refused, f"half: refused {is_refused}, and the topics are not so")
        need(self.reload.client.subscribe(f"devices/{self.reload.hub.name}/x") < 128, "half: the old topics are not in force")
        need(self.place.told("status")["ledgerOk"], "store: not well after SIGHUP")

    def after(self):
        """Descriptors are back: everything comes to its end."""
        place = self.place
        place.need_alive()
        wait_until("the rotation", lambda: self.hub.is_done(self.op) and self.hub.is_in_session(), 120, self.hub.last_lines)
        wait_until("promoted", lambda: place.told("getDevice", device=self.hub.name).get("promotedOp") == self.hub.record()["active"]["op"])
        self.hub.need_working(place.told("getDevice", device=self.hub.name))
        self.hub.need_clean()
        need(place.try_as(self.gone.name, self.gone.identity) == NOT_AUTHORIZED, "retired: the revoked one is not refused by name")
        place.need_same(self.gone.name, "dry-1", self.hub.name)
        self.reload.settle()
        # the list was due when there was no descriptor for it: it comes, and is newer than the revoke
        wait_until("the revocation list", lambda: place.told("status")["crl"]["ok"], 60)
        place.need_restart_same()
        fresh = place.imported("fresh")
        fresh.online()
        fresh.rotate(place.told("rotate", device=fresh.name)["op"])
        need(self.hub.agent.stop() == 0, "crash: the agent does not stop in order")
        need(place.broker.stop() == 0, "crash: the broker does not stop in order")


class AgentDrought:
    """An agent without a descriptor, while a rotation is ordered; one that starts with too few."""

    def __init__(self, path, way):
        self.place, self.few = FaultPlace(path), way
        self.place.start()
        self.hub = Hub(self.place, "agent").enrolled()

    def running(self):
        hub = self.hub
        hub.run()
        wait_until("a session", hub.is_in_session)
        squeeze = Squeeze(hub.agent.child.pid)
        squeeze.by_limit()
        old = hub.keep_identity()
        op = self.place.told("rotate", device=hub.name)["op"]
        begin = self.place.log_size()
        self.place.logged_since(begin, "event=rotation.failed|Received PUBLISH from agent:agent", 10)
        need(hub.agent.is_running(), "crash: the agent ended: " + hub.last_lines())
        squeeze.end()
        wait_until("the rotation", lambda: hub.is_done(op) and hub.is_in_session(), 120, hub.last_lines)
        wait_until("promoted", lambda: self.place.told("getDevice", device=hub.name).get("promotedOp") == hub.record()["active"]["op"])
        hub.need_working(self.place.told("getDevice", device=hub.name))
        hub.need_clean()
        need(self.place.is_refused(hub.name + ":agent", old), "retired: the old key gets in")
        need(hub.agent.stop() == 0, "crash: the agent does not stop in order")

    def starting(self):
        hub = self.hub
        before = hub.record()
        for few in (4, 5, 6, 8, 10, 12):
            hub.agent = Process(["sh", "-c", f'ulimit -n {few}; exec "$@"', "sh", AGENT, "run", "-c", hub.dir + "/agent.conf"],
                                hub.log)
            wait_until(f"a start with {few} descriptors", lambda: not hub.agent.is_running() or hub.is_in_session() or
                       "event=link.down" in hub.last_lines(), 30, hub.last_lines)
            if hub.agent.is_running():
                hub.agent.kill()
            else:
                code = hub.agent.wait()
                need(code > 0 or few <= 4, f"crash: with {few} descriptors the agent ends with {code}")
            now = hub.record()
            need(now["active"] == before["active"], f"lost: with {few} descriptors the record became {now}")
        hub.run()
        wait_until("a session", hub.is_in_session, 60, hub.last_lines)
        hub.need_clean()
        need(hub.agent.stop() == 0, "crash: the agent does not stop in order")


def steps(tmp, name):
    """(what, function) of a scene."""
    if name.startswith("agent"):
        scene = AgentDrought(f"{tmp}/{name}", name)
        return [("a rotation without a descriptor", scene.running), ("a start with few", scene.starting)]
    scene = Drought(f"{tmp}/{name}", name)
    return [("all that is needed is there", scene.start), ("nobody comes in", scene.nobody_comes_in),
            ("an operator's commands", scene.operator_goes_on), ("a revoke", scene.revoke), ("SIGHUP", scene.sighup),
            ("SIGHUP again", scene.sighup), ("descriptors are back", scene.stop), ("all is as before", scene.after)]


SCENES = ("connections", "limit", "agent")


def run(index, count, put, tmp, only):
    for number, name in enumerate(SCENES):
        if number % count != index or only not in ("", name):
            continue
        what = "the start"
        try:
            for what, step in steps(tmp, name):
                step()
                put({"name": f"{name}: {what}"})
        except (Failed, AssertionError, Closed, Timeout, OSError, KeyError) as error:
            put({"name": f"{name}: {what}", "error": f"{type(error).__name__}: {error}"})


def main():
    tmp, jobs, is_json, only = sys.argv[1], int(sys.argv[3]), sys.argv[4] == "json", sys.argv[5]
    report, cases = Report("fds", is_json), 0
    for item in workers(min(jobs, len(SCENES)), run, tmp, only):
        if "broken" in item:
            report.bad("fds: a worker broke off", "other_failures", item["broken"])
            continue
        cases += 1
        report.check(item["name"], "error" not in item, item.get("error", ""))
    report.figures = {"cases": cases}
    report.finish()


if __name__ == "__main__":
    main()
