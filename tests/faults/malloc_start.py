"""The plugin's allocations while a broker starts, and while it stops."""

import os
import signal

from fault_place import FaultPlace
from malloc_broker import ERRORS, choose
from place import need, wait_until
from scene import NOT_AUTHORIZED

LOOK_EVERY = 10  # refused starts: a plain one after it


class Start:
    """A fleet of three, and a broker that is started over it again and again."""

    def __init__(self, path):
        self.place = FaultPlace(path, crl=True)
        self.page = self.place.page
        self.refused = self.ran = 0
        self.place.start()
        self.good, self.gone, self.turned = (self.place.imported(kind) for kind in ("good", "gone", "turned"))
        self.place.told("revoke", device=self.gone.name)
        self.old = self.turned.identity
        self.turned.online()
        self.turned.rotate(self.place.told("rotate", device=self.turned.name)["op"])
        self.turned.close()
        self.devices = self.place.all_devices()
        self.stop()
        self.ledger = self.bytes()

    def bytes(self):
        with open(self.place.fold.path, "rb") as ledger:
            return ledger.read()

    def stop(self):
        self.place.drop_operator()
        need(self.place.broker.stop() == 0, "crash: the broker does not stop in order")

    def launch(self, env):
        """Up to its end or its service; True: it serves."""
        begin = self.place.launch(env)
        broker = self.place.broker
        wait_until("start or end", lambda: self.place.is_serving(begin) or not broker.is_running())
        if self.place.is_serving(begin):
            return True
        code = broker.wait()
        log = self.place.log_from(begin)
        need(code > 0, f"crash: the broker's start ends with {code}")
        # a thread that there is no memory for is EAGAIN
        need("memory" in log or "Resource temporarily unavailable" in log, "the start is refused, and the log does not say for want of memory: " + log[-600:])
        return False

    def look(self):
        """All is as it was."""
        place = self.place
        need(place.told("status")["ledgerOk"], "store: not well")
        need(place.all_devices() == self.devices, "half: the devices are others")
        need(place.try_as(self.good.name + ":agent", self.good.identity) == 0, "lock-out: a good hub is not let in")
        need(place.try_as(self.gone.name + ":agent", self.gone.identity) == NOT_AUTHORIZED, "retired: revoked, and not refused")
        need(place.try_as(self.turned.name + ":agent", self.old) == NOT_AUTHORIZED, "retired: superseded, and not refused")

    def point(self, n, is_once):
        place = self.place
        for name in ("crl.pem", "crl.pem.tmp"):  # so that one is made
            if os.path.exists(place.tmp + "/world/crl/" + name):
                os.unlink(place.tmp + "/world/crl/" + name)
        begin = place.log_size()
        self.page.arm(n, is_once)
        is_up = self.launch(self.page.env())
        if is_up:
            wait_until("a word about the list", lambda: place.lines_since(begin, r"event=crl\.(?:written|failed)") or
                       self.page.failed() > 0, 20)
        self.page.disarm()
        figures = {"failed": self.page.failed(), "count": self.page.count(), "direct": self.page.direct(),
                   "all": self.page.paths() if self.page.failed() == 0 else (), "refused": not is_up}
        if is_up:
            place.need_alive()
            self.look()
            self.stop()
        else:
            self.refused += 1
        need(self.bytes() == self.ledger, "half: the ledger is another")
        if not is_up and self.refused % LOOK_EVERY == 1:
            need(self.launch(None), "lock-out: a plain start is refused")
            self.look()
            self.stop()
        return figures


class Stop(Start):
    """SIGTERM, with a record on its way to the disk."""

    def point(self, n, is_once):
        place = self.place
        need(self.launch(self.page.env()), "the broker does not start")
        self.good.online()
        self.page.arm(n, is_once)
        name = place.new_name("late")
        answer = place.insist({"command": "createDevice", "device": name})[0]
        os.kill(place.broker.child.pid, signal.SIGTERM)
        code = place.broker.wait()
        self.page.disarm()
        self.good.close()
        place.drop_operator()
        need(code == 0, f"crash: the broker ends with {code}")
        need(place.fold.read().devices.get(name) is not None, f"lost: {answer} was answered")
        return {"failed": self.page.failed(), "count": self.page.count(), "direct": self.page.direct(),
                "all": self.page.paths() if self.page.failed() == 0 else ()}


def run_start(path, name, share, every, put):
    """As malloc_broker.run_scene; refused: how many starts were."""
    kind = {"start": Start, "stop": Stop}[name]
    stage, points, brokers, refused = None, [], 0, 0
    item = {"scene": name, "how": "count", "n": 0}
    todo = [(0, "count")]
    while todo:
        n, how = todo.pop(0)
        item = {"scene": name, "n": n, "how": how}
        try:
            if stage is None:
                brokers += 1
                stage = kind(f"{path}-{name}-{brokers}")
            figures = stage.point(n, how == "once")
            item["failed"] = figures["failed"]
            refused += 1 if figures.get("refused") else 0
            if how == "count":
                points, item["paths"] = choose(figures["all"], every)
                item.update(count=figures["count"], direct=figures["direct"], points=len(points))
                todo = [(n, how) for how in ("once", "on") for n in points[share[0]::share[1]]]
        except ERRORS as error:
            item["error"] = f"{type(error).__name__}: {error}"[:1500]
            if stage is not None:
                place = stage.place
                item.update(failed=place.page.failed(), where=f"{place.page.first():#x}",
                            log=place.log_from(max(0, place.log_size() - 1500)))
                if place.broker.is_running():
                    place.broker.kill()
            stage = None
        if not todo:
            item["refused"] = refused
        put(item)
