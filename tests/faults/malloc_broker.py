"""The allocations of the plugin in a real broker, one after the other."""

from alloc_page import Lost
from broker_scenes import SCENES
from fault_place import FaultPlace
from mqtt5 import Closed, Timeout
from place import Failed

RESTART_EVERY = 150  # points: killed, started, compared
ERRORS = (Failed, AssertionError, Lost, Closed, Timeout, OSError, KeyError)


class Stage:
    """One scene in one broker, and a new one after each defect."""

    def __init__(self, path, name):
        self.path, self.name, self.brokers = path, name, 0
        self.place = self.scene = None

    def open(self):
        self.brokers += 1
        self.place = FaultPlace(f"{self.path}-{self.brokers}")
        self.place.start(self.place.page.env(openssl=True))
        self.scene = SCENES[self.name](self.place)

    def close(self):
        if self.place is not None and self.place.broker.is_running():
            self.place.broker.kill()
        self.place = None

    def point(self, n, is_once):
        """True: something was hit."""
        if self.place is None:
            self.open()
        self.scene.prepare()
        page = self.place.page
        page.arm(n, is_once)
        try:
            self.scene.play()
        finally:
            page.disarm()
        figures = {"failed": page.failed(), "count": page.count(), "direct": page.direct(),
                   "all": page.paths() if page.failed() == 0 else ()}
        self.place.need_alive()
        self.scene.settle()
        self.place.need_alive()
        return figures

    def same_after_restart(self):
        if self.place is not None:
            self.place.need_restart_same(self.place.page.env(openssl=True))
            self.scene = SCENES[self.name](self.place)


def choose(paths, every):
    """Which of the allocations of an untouched run are tried, by number: the first two and the last of every call path, and
    one in 64 of those between, which are wolfSSL's at its arithmetic; of all these every N-th."""
    places = {}
    for n, path in enumerate(paths, 1):
        places.setdefault(path, []).append(n)
    chosen = set(range(1, len(paths) + 1, 64))
    for numbers in places.values():
        chosen.update(numbers[:2] + numbers[-1:])
    return sorted(chosen)[::every], len(places)


def run_scene(path, name, share, every, put):
    """Counts, then fails: each point alone, and each with all that follow. share: (index, count), the points dealt to several."""
    stage = Stage(f"{path}-{name}", name)
    item = {"scene": name, "how": "count", "n": 0}
    points = []
    try:
        stage.point(0, True)  # what is only done the first time
        figures = stage.point(0, True)
        points, item["paths"] = choose(figures["all"], every)
        item.update(count=figures["count"], direct=figures["direct"], points=len(points))
    except ERRORS as error:
        item.update(told(stage, error))
    put(item)
    done, mine = 0, points[share[0]::share[1]]
    for n, how in [(n, how) for how in ("once", "on") for n in mine]:
        item = {"scene": name, "n": n, "how": how}
        try:
            item["failed"] = stage.point(n, how == "once")["failed"]
            done += 1
            if done % RESTART_EVERY == 0 or n == mine[-1]:
                stage.same_after_restart()
        except ERRORS as error:
            item.update(told(stage, error))
        put(item)
    stage.close()


def told(stage, error):
    """Of a point that went wrong, for who has to find out; its broker is not used any more."""
    item = {"error": f"{type(error).__name__}: {error}"[:1500]}
    if stage.place is not None:
        item.update(failed=stage.place.page.failed(), where=f"{stage.place.page.first():#x}",
                    log=stage.place.log_from(max(0, stage.place.log_size() - 1500)))
    stage.close()
    return item
