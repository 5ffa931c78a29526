"""The allocations of keyturn-agent: its start, its enrolment, a rotation with its hook."""

import os
import signal
import subprocess
import time

from alloc_page import PROGRAM, Lost, Page
from fault_place import FaultPlace
from malloc_broker import ERRORS, choose
from place import AGENT, Failed, Hub, need, wait_until

BACK_S = 150  # by itself, or started again as systemd does it
LOST_S = 40  # in the C library's resolver: the operator's own connection lasts no longer
PATIENT_EVERY = 50  # points: that many wait for the plugin to repeat its order, which it does after 60 s


def is_in_getaddrinfo(address):
    """Is that where our own code calls the C library's resolver?"""
    said = subprocess.run(["addr2line", "-e", AGENT, f"{address:#x}"], capture_output=True, text=True, check=False).stdout
    try:
        path, line = said.split()[0].rsplit(":", 1)
        with open(path) as source:
            return "getaddrinfo(" in source.readlines()[int(line) - 1]
    except (IndexError, OSError, ValueError):
        return False


class AgentScene:
    """One hub over one broker."""

    def __init__(self, place, number):
        self.place = place
        self.hub = Hub(place, f"agent-{number}")
        self.page = Page(self.hub.dir + "/agent.alloc", PROGRAM)
        self.ended = 0

    def figures(self):
        self.page.disarm()
        return {"failed": self.page.failed(), "count": self.page.count(), "direct": self.page.direct(),
                "all": self.page.paths() if self.page.failed() == 0 else (), "ended": self.ended}

    def need_ended_well(self):
        """It has ended, with a word."""
        code, words = self.hub.agent.wait(), self.hub.last_lines()
        self.ended += 1
        if is_in_getaddrinfo(self.page.first()):
            return  # whoever calls it: the C library aborts, crashes, hangs, or finds no name any more
        need(code > 0, f"crash: the agent ends with {code}")
        # a thread that there is no memory for is EAGAIN
        need("memory" in words or "Resource temporarily unavailable" in words,
             "the agent ends, and does not say for want of memory: " + words)

    def wait(self, what, condition):
        """Until it holds, or the agent has ended, or an allocation failed and nothing comes of it."""
        try:
            self.page.wait(what, lambda: condition() or not self.hub.agent.is_running(), BACK_S)
        except Lost:
            pass
        self.page.disarm()

    def back(self, condition):
        """All is well again; an agent that has ended is started as always."""
        if not self.hub.agent.is_running():
            self.need_ended_well()
            self.hub.run()
        wait_until("all to be well again", condition, BACK_S, self.hub.last_lines)
        need(self.hub.agent.is_running(), "crash: the agent has ended: " + self.hub.last_lines())

    def stop(self):
        if self.hub.agent.is_running():
            code = self.hub.agent.stop()
            need(code == 0, f"crash: the agent stops with {code}")

    def close(self):
        if self.hub.agent is not None and self.hub.agent.is_running():
            self.hub.agent.kill()


class AgentStart(AgentScene):
    """From its start to a session, and to its end."""

    def __init__(self, place, number):
        super().__init__(place, number)
        self.hub.enrolled()

    def point(self, n, is_once):
        self.page.arm(n, is_once)
        self.hub.run(self.page.env())
        self.wait("a session", self.hub.is_in_session)
        self.back(self.hub.is_in_session)
        if self.page.failed() == 0:
            self.page._set("armed", 1)
        self.stop()
        self.hub.need_clean()
        return self.figures()


class AgentEnrol(AgentScene):
    """`keyturn-agent enroll`, by ticket."""

    def __init__(self, place, number):
        super().__init__(place, number)
        self.number = number
        self.count = 0

    def point(self, n, is_once):
        self.count += 1
        self.hub = Hub(self.place, f"agent-{self.number}-{self.count}")
        self.place.told("createDevice", device=self.hub.name)
        self.hub.save_ticket(self.place.told("createTicket", device=self.hub.name)["ticket"])
        self.page.arm(n, is_once)
        self.hub.enroll(self.page.env())
        self.wait("the enrolment's end", lambda: False)
        is_resolver = is_in_getaddrinfo(self.page.first())
        try:
            wait_until("the enrolment's end", lambda: not self.hub.agent.is_running(), LOST_S if is_resolver else BACK_S,
                       self.hub.last_lines)
        except Failed:
            if not is_resolver:
                raise
            self.hub.agent.kill()  # a daemon ends itself, or its watchdog does it
        if self.hub.agent.wait() != 0:
            self.need_ended_well()
            self.hub.enroll()
            need(self.hub.agent.wait() == 0, "lock-out: it does not enrol: " + self.hub.last_lines())
        self.hub.need_working(self.place.told("getDevice", device=self.hub.name))
        self.hub.need_clean()
        return self.figures()


class AgentRotate(AgentScene):
    """A rotation of a running agent, its hook included."""

    def __init__(self, place, number):
        super().__init__(place, number)
        self.hub.enrolled()
        self.hooked = self.hub.dir + "/hooked"
        with open(self.hub.dir + "/agent.conf", "a") as conf:
            conf.write(f"hook = /usr/bin/touch {self.hooked}\n")
        self.hub.run(self.page.env())
        wait_until("a session", self.hub.is_in_session)

    def point(self, n, is_once):
        hub, place = self.hub, self.place
        if os.path.exists(self.hooked):
            os.unlink(self.hooked)
        old = hub.keep_identity()
        self.page.arm(n, is_once)
        op = place.told("rotate", device=hub.name)["op"]

        def is_well():
            return hub.is_done(op) and hub.is_in_session()

        self.wait(f"rotation {op}", is_well)
        if n % PATIENT_EVERY != 1:
            self.nudge(op, is_well)
        self.back(is_well)
        self.page.disarm()
        wait_until("promoted", lambda: place.told("getDevice", device=hub.name).get("promotedOp") == hub.record()["active"]["op"])
        hub.need_working(place.told("getDevice", device=hub.name))
        hub.need_clean()
        need(os.path.exists(self.hooked), "lost: the hook has not run")
        need(place.is_refused(hub.name + ":agent", old), "retired: the old key gets in")
        figures = self.figures()
        if self.ended and self.hub.agent.is_running() and figures["failed"]:
            self.stop()
            hub.run(self.page.env())
            wait_until("a session", hub.is_in_session)
        return figures


    def nudge(self, op, is_well):
        """An operator who sees nothing happen for five seconds orders it again."""
        began = time.monotonic()
        while time.monotonic() < began + 5 and self.hub.agent.is_running():
            if is_well():
                return
            time.sleep(0.02)
        if self.hub.agent.is_running() and self.place.told("getDevice", device=self.hub.name)["phase"] == "open":
            self.place.told("rotate", device=self.hub.name)


SCENES = {"agent-start": AgentStart, "agent-enrol": AgentEnrol, "agent-rotate": AgentRotate}


def run_agent(path, name, share, every, put):
    """share: (index, count): the points are dealt to several at once."""
    place, scene, number, points = FaultPlace(f"{path}-{name}"), None, 0, None
    place.start()
    todo, ended = [(0, "count"), (0, "count")], 0
    while todo:
        n, how = todo.pop(0)
        item = {"scene": name, "n": n, "how": how}
        try:
            if scene is None:
                number += 1
                scene = SCENES[name](place, f"{share[0]}-{number}")
            scene.ended = 0
            figures = scene.point(n, how == "once")
            item["failed"] = figures["failed"]
            ended += figures["ended"]
            if how == "count" and not todo:
                points, item["paths"] = choose(figures["all"], every)
                mine = points[share[0]::share[1]]
                item.update(count=figures["count"], direct=figures["direct"], points=len(points))
                todo = [(n, how) for how in ("once", "on") for n in mine]
            elif how == "count":
                continue
        except ERRORS + (signal.ItimerError, Failed) as error:
            item["error"] = f"{type(error).__name__}: {error}"[:1500]
            if scene is not None:
                item.update(failed=scene.page.failed(), where=f"{scene.page.first():#x}",
                            log=scene.hub.last_lines() if scene.hub.agent else "")
                scene.close()
            scene = None
            place.drop_operator()  # the broker may have ended a connection that was silent so long
        if not todo:
            item["ended"] = ended
        put(item)
    if scene is not None:
        scene.close()
    place.broker.kill()
