"""tests/faults.sh disk: disks that are full, read-only or broken, under the broker's plugin and under agents.

Runs in a mount namespace of its own: every directory of a scene that matters is a file system of 1 MiB. What
tests/crash.sh has, a call of the agent that fails with EIO or ENOSPC, is not repeated here.
"""

import errno
import hashlib
import os
import subprocess
import sys

from alloc_page import PLUGIN, Lost, Page
from fault_place import FaultPlace
from mqtt5 import Closed, Timeout
from place import Failed, Hub, Shim, need, wait_until
from report import Report, workers
from scene import NOT_AUTHORIZED


class Small:
    """A file system of 1 MiB."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "small", path], check=True)

    def fill(self):
        """To the last byte."""
        fd = os.open(self.path + "/balloon", os.O_WRONLY | os.O_CREAT, 0o600)
        for size in (65536, 4096, 1):
            try:
                while True:
                    os.write(fd, b"x" * size)
            except OSError as error:
                need(error.errno == errno.ENOSPC, str(error))
        os.close(fd)

    def free(self):
        os.unlink(self.path + "/balloon")

    def remount(self, how):
        subprocess.run(["mount", "-o", "remount," + how, self.path], check=True)

    def end(self):
        subprocess.run(["umount", "-l", self.path], check=False)


def tree(*paths):
    """What lies there: names and contents."""
    found = {}
    for path in paths:
        for top, _, names in os.walk(path):
            for name in names:
                file = os.path.join(top, name)
                if os.path.islink(file) or name in ("lock", "index.sqlite-shm", "status"):
                    continue
                with open(file, "rb") as data:
                    found[file] = hashlib.sha256(data.read()).hexdigest()
    return found


class Story:
    """A broker over three small disks, a real hub on a fourth, and one to be revoked."""

    def __init__(self, path, env=None):
        self.ledger, self.index, self.crl = (Small(f"{path}/world/{name}") for name in ("ledger", "state", "crl"))
        self.disk = Small(path + "/agent/world/state")
        self.place = FaultPlace(path, crl=True)
        self.place.page = Page(path + "/unused", PLUGIN)
        self.place.start(env)
        self.hub = Hub(self.place, "agent").enrolled()
        self.hub.run()
        wait_until("a session", self.hub.is_in_session)
        self.gone = self.place.imported("gone")
        self.gone.online()

    def end(self):
        for disk in (self.ledger, self.index, self.crl, self.disk):
            disk.end()

    def restart(self):
        self.place.drop_operator()
        need(self.place.broker.stop() == 0, "crash: the broker does not stop in order")
        self.place.start()

    def refused_start(self, what):
        """The start is refused, and the log names this."""
        begin = self.place.launch()
        wait_until("the end of the start", lambda: not self.place.broker.is_running() or self.place.is_serving(begin))
        need(not self.place.broker.is_running(), f"it starts, with {what} out of order")
        code, log = self.place.broker.wait(), self.place.log_from(begin)
        need(code > 0, f"crash: {code}")
        need(what in log, f"the refusal does not name {what}: {log[-500:]}")

    def need_well(self):
        """A rotation of the hub to its end, and all agree."""
        place, hub = self.place, self.hub
        op = place.told("rotate", device=hub.name)["op"]
        wait_until("the rotation", lambda: hub.is_done(op) and hub.is_in_session(), 120, hub.last_lines)
        wait_until("promoted", lambda: place.told("getDevice", device=hub.name).get("promotedOp") == hub.record()["active"]["op"])
        hub.need_working(place.told("getDevice", device=hub.name))
        hub.need_clean()
        place.need_same(hub.name, self.gone.name)


def fill_up(place):
    """Devices are made until that is refused: what is left of the last page is room. Those that were acknowledged."""
    for number in range(100):
        answer = place.insist({"command": "createDevice", "device": f"made-{number}"})[0]
        if "error" in answer:
            return [f"made-{n}" for n in range(number)]
    raise Failed("a full disk, and everything is acknowledged")


def ledger_full(story):
    """Nothing is acknowledged that does not last; rights shrink all the same; room and a start, and all goes on."""
    place = story.place
    story.ledger.fill()
    made = fill_up(place)
    answer = place.insist({"command": "revoke", "device": story.gone.name, "emergency": True})[0]
    need("not_durable" in str(answer) or "not.durable" in str(answer), f"lost: a full disk, and a revoke is answered {answer}")
    need(story.gone.agent.is_closed_within(10), "retired: revoked, and in session")
    need(place.try_as(story.gone.name, story.gone.identity) != 0, "retired: revoked, and let in")
    need(not place.told("status")["ledgerOk"], "status calls the ledger well")
    need(story.hub.is_in_session(), "lock-out: the hub has lost its session")
    story.ledger.free()
    answer = place.insist({"command": "createDevice", "device": "unwritten"})[0]
    need("error" in answer, f"what was written is not known, and the answer is {answer}")
    story.restart()
    need(place.told("status")["ledgerOk"], "store: not well after the start")
    for name in made:
        need(place.told("getDevice", device=name)["state"] == "new", f"lost: {name} was acknowledged")
    place.told("createDevice", accept=("exists",), device="written")
    place.told("revoke", accept=("state",), device=story.gone.name, emergency=True)
    wait_until("a session", story.hub.is_in_session)


def ledger_full_start(story):
    """A start over a full ledger: what it acknowledges lasts."""
    place = story.place
    need(place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    story.ledger.fill()
    made = []
    begin = place.launch()
    wait_until("start or end", lambda: not place.broker.is_running() or place.is_serving(begin))
    if place.broker.is_running():
        made = fill_up(place)
        place.drop_operator()
        need(place.broker.stop() == 0, "crash: stop")
    else:
        need(place.broker.wait() > 0 and "ledger" in place.log_from(begin), "the refusal does not name the ledger")
    story.ledger.free()
    place.start()
    for name in made:
        need(place.told("getDevice", device=name)["state"] == "new", f"lost: {name} was acknowledged")
    wait_until("a session", story.hub.is_in_session)


def ledger_read_only(story):
    """No start over a ledger that cannot be written; nothing is touched."""
    place = story.place
    need(place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    before = tree(story.ledger.path)
    story.ledger.remount("ro")
    story.refused_start("ledger")
    story.ledger.remount("rw")
    need(tree(story.ledger.path) == before, "half: the ledger's files are others")
    place.start()
    wait_until("a session", story.hub.is_in_session)


def index_full(story):
    """The ledger goes on without its index; the next start with room brings it up to date."""
    place = story.place
    story.index.fill()
    for number in range(40):
        place.told("createDevice", device=f"made-{number}")
    begin = place.log_size()
    place.told("revoke", device=story.gone.name, emergency=True)
    need(story.gone.agent.is_closed_within(10), "retired: revoked, and in session")
    need(place.told("status")["ledgerOk"], "lost: a full index, and the ledger counts as failed: " + place.log_from(begin))
    devices = place.all_devices()
    need(place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    begin = place.launch()  # still full
    wait_until("start or end", lambda: not place.broker.is_running() or place.is_serving(begin))
    if place.broker.is_running():
        need(place.all_devices() == devices, "lost: a start over a full index knows others")
        place.drop_operator()
        need(place.broker.stop() == 0, "crash: stop")
    else:
        need(place.broker.wait() > 0 and "index" in place.log_from(begin), "the refusal does not name the index")
    story.index.free()
    place.start()
    need(place.all_devices() == devices, "lost: after a full index")
    place.need_restart_same()
    wait_until("a session", story.hub.is_in_session)


def index_read_only(story):
    place = story.place
    devices = place.all_devices()
    need(place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    before = tree(story.ledger.path)
    story.index.remount("ro")
    story.refused_start("state")
    story.index.remount("rw")
    need(tree(story.ledger.path) == before, "half: the ledger's files are others")
    place.start()
    need(place.all_devices() == devices, "lost")
    wait_until("a session", story.hub.is_in_session)


def crl_full(story):
    """The old list stays whole until there is room for a new one."""
    place = story.place
    path = story.crl.path + "/crl.pem"
    wait_until("a list", lambda: place.told("status")["crl"]["ok"] and os.path.exists(path), 60)
    story.crl.fill()
    before, begin = open(path, "rb").read(), place.log_size()
    other = Hub(place, "other").enrolled()
    place.told("revoke", device=other.name, emergency=True)
    wait_until("a word about the list", lambda: place.lines_since(begin, "event=crl.failed"), 90)
    need(open(path, "rb").read() == before, "half: the old list is damaged")
    need(place.told("status")["ledgerOk"], "store: not well")
    story.crl.free()
    wait_until("the new list", lambda: place.told("status")["crl"]["ok"] and open(path, "rb").read() != before, 120)
    need(sorted(os.listdir(story.crl.path)) == ["crl.pem"], f"beside the list: {os.listdir(story.crl.path)}")


def agent_full(story):
    """A rotation waits for room; the hub keeps what it has."""
    place, hub = story.place, story.hub
    old = hub.record()["active"]["fp"]
    story.disk.fill()
    begin = place.log_size()
    op = place.told("rotate", device=hub.name)["op"]
    wait_until("a word of the failure", lambda: place.lines_since(begin, "event=rotation.failed"), 60, hub.last_lines)
    need(hub.agent.is_running() and hub.record()["active"]["fp"] == old, "lost: the hub's credential: " + hub.last_lines())
    need(place.told("getDevice", device=hub.name)["current"]["fp"] == old, "half: the server has gone on")
    story.disk.free()
    wait_until("the rotation", lambda: hub.is_done(op) and hub.is_in_session(), 150, hub.last_lines)


def agent_full_start(story):
    """An agent starts over a full disk, or says which; its files stay."""
    hub = story.hub
    need(hub.agent.stop() == 0, "crash: stop")
    before = tree(story.disk.path)
    story.disk.fill()
    hub.run()
    wait_until("start or end", lambda: not hub.agent.is_running() or "event=link.up" in hub.last_lines(), 60, hub.last_lines)
    if hub.agent.is_running():
        hub.agent.kill()
    else:
        need(hub.agent.wait() > 0 and story.disk.path in hub.last_lines(), "the refusal does not name the path: " + hub.last_lines())
    story.disk.free()
    need(tree(story.disk.path) == before, "half: the store's files are others")
    hub.run()
    wait_until("a session", hub.is_in_session, 60, hub.last_lines)


def agent_read_only(story):
    hub = story.hub
    need(hub.agent.stop() == 0, "crash: stop")
    before = tree(story.disk.path)
    story.disk.remount("ro")
    hub.run()
    code = hub.agent.wait()
    need(code > 0 and story.disk.path in hub.last_lines(), f"{code}: the refusal does not name the path: " + hub.last_lines())
    story.disk.remount("rw")
    need(tree(story.disk.path) == before, "half: the store's files are others")
    hub.run()
    wait_until("a session", hub.is_in_session, 60, hub.last_lines)


def short_writes(story):
    """Every write takes half: nobody notices."""
    place, hub = story.place, story.hub
    need(hub.agent.stop() == 0 and place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    place.start(dict(place.shim.env(), KT_CRASH_SHORT="1"))
    hub.run(dict(hub.shim.env(), KT_CRASH_SHORT="1"))
    wait_until("a session", hub.is_in_session, 60, hub.last_lines)
    other = Hub(place, "short")
    place.told("createDevice", device=other.name)
    other.save_ticket(place.told("createTicket", device=other.name)["ticket"])
    other.enroll(dict(other.shim.env(), KT_CRASH_SHORT="1"))
    need(other.agent.wait() == 0, "lock-out: it does not enrol: " + other.last_lines())
    story.need_well()
    place.need_restart_same()
    wait_until("a session", hub.is_in_session, 60, hub.last_lines)


def unreadable_broker(story):
    """A file that cannot be read at the start: a refusal that names it, and nothing is touched."""
    place = story.place
    devices = place.all_devices()
    need(place.broker.stop() == 0, "crash: stop")
    place.drop_operator()
    before = tree(story.ledger.path, story.index.path)
    for part, name in (("ledger.kt", story.ledger.path), ("index.sqlite", story.index.path), ("/keyturn.conf", "/keyturn.conf"),
                       ("/root.pem", "/root.pem"), ("/issuing.key", "/issuing.key"), ("/controller-1.key", "/controller-1.key")):
        begin = place.launch(dict(place.shim.env(), KT_CRASH_READ=part))
        wait_until("start or end", lambda begin=begin: not place.broker.is_running() or place.is_serving(begin))
        if place.broker.is_running():
            place.broker.kill()
            raise Failed(f"it starts, and {part} cannot be read: {place.log_from(begin)[-500:]}")
        log = place.log_from(begin)
        need(place.broker.wait() > 0 and name in log, f"the refusal does not name {name}: {log[-500:]}")
        need(tree(story.ledger.path, story.index.path) == before, f"half: {part} cannot be read, and files are others")
    place.start()
    need(place.all_devices() == devices, "lost")
    wait_until("a session", story.hub.is_in_session)


def unreadable_agent(story):
    hub = story.hub
    need(hub.agent.stop() == 0, "crash: stop")
    before = tree(story.disk.path)
    for part in ("/record.", "/agent.conf", "/key.pem", "/root.pem"):
        hub.run(dict(hub.shim.env(), KT_CRASH_READ=part))
        wait_until("start or end", lambda: not hub.agent.is_running() or hub.is_in_session() or
                   "event=link.down" in hub.last_lines(), 60, hub.last_lines)
        if hub.agent.is_running():
            hub.agent.kill()
            raise Failed(f"it starts, and {part} cannot be read: {hub.last_lines()}")
        need(hub.agent.wait() > 0, "crash: " + hub.last_lines())
        need(part in hub.last_lines() or story.disk.path in hub.last_lines(), f"the refusal does not name {part}: {hub.last_lines()}")
        need(tree(story.disk.path) == before, f"half: {part} cannot be read, and files are others")
    hub.run()
    wait_until("a session", hub.is_in_session, 60, hub.last_lines)


SCENES = {scene.__name__: scene for scene in (
    ledger_full, ledger_full_start, ledger_read_only, index_full, index_read_only, crl_full, agent_full, agent_full_start,
    agent_read_only, short_writes, unreadable_broker, unreadable_agent)}
ERRORS = (Failed, Lost, AssertionError, Closed, Timeout, OSError, KeyError, subprocess.CalledProcessError)


def failing_call(path, n, how):
    """The broker's n-th call that changes a disk fails; what was hit, or None."""
    place = FaultPlace(path)
    place.page = Page(path + "/unused", PLUGIN)
    place.page.failed = lambda: 1  # what is not answered may be lost by the call
    env = Shim.env(place.shim, n, how)
    begin = place.launch(env)
    wait_until("start or end", lambda: not place.broker.is_running() or place.is_serving(begin))
    facts = {}
    if place.broker.is_running():
        hub = attempt(place, facts, "import", lambda: place.imported("hub"))
        attempt(place, facts, "create", lambda: place.told("createDevice", accept=("exists",), device="made"))
        if hub:
            attempt(place, facts, "revoke", lambda: place.told("revoke", device=hub.name, emergency=True))
            need("revoke" not in facts or place.try_as(hub.name, hub.identity) != 0, "retired: revoked, and let in")
        place.drop_operator()
        need(place.broker.stop() == 0, "crash: the broker does not stop in order")
    else:
        need(place.broker.wait() > 0 and place.shim.hit(), "crash: the start ends by itself")
    hit = place.shim.hit()
    place.start()
    need("create" not in facts or place.told("getDevice", device="made")["state"] == "new", "lost: create was answered")
    if "import" in facts:
        state = place.told("getDevice", device=facts["import"].name)["state"]
        need(state in (("revoked",) if "revoke" in facts else ("active", "revoked")), f"lost: import and revoke, and it is {state}")
    fresh = place.imported("fresh")
    need(place.try_as(fresh.name, fresh.identity) == 0, "lock-out: a new hub is not let in")
    place.need_same(fresh.name)
    place.broker.kill()
    return hit


def attempt(place, facts, name, step):
    """step(); a fact if it was answered with a yes."""
    try:
        facts[name] = step()
        return facts[name]
    except (Failed, AssertionError) as error:
        need(place.broker.is_running(), f"crash: {error}")
        need("store" in str(error) or "durable" in str(error) or "busy" in str(error), str(error))
        place.drop_operator()
        return None


def run(index, count, put, tmp, every, only):
    for number, (name, scene) in enumerate(SCENES.items()):
        if number % count != index or only not in ("", name):
            continue
        item, story = {"name": name}, None
        try:
            story = Story(f"{tmp}/{name}")
            scene(story)
            story.need_well()
        except ERRORS as error:
            item["error"] = f"{type(error).__name__}: {error}"[:1500]
        put(item)
        if story is not None:
            for process in (story.hub.agent, story.place.broker):
                if process is not None and process.is_running():
                    process.kill()
            story.end()
    for how in ("EIO", "ENOSPC"):
        n = 1 + index * every
        while only in ("", "calls"):
            item = {"name": f"call {n} fails with {how}", "point": how}
            try:
                hit = failing_call(f"{tmp}/call-{how}-{n}", n, how)
                item["name"] += f" ({hit})"
                if hit is None:
                    break
            except ERRORS as error:
                item["error"] = f"{type(error).__name__}: {error}"[:1500]
                if n > 2000:
                    break
            put(item)
            n += count * every


def main():
    tmp, every, jobs, is_json, only = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "json", sys.argv[5]
    report, cases, points = Report("disk", is_json), 0, {"EIO": 0, "ENOSPC": 0}
    for item in workers(jobs, run, tmp, every, only):
        if "broken" in item:
            report.bad("disk: a worker broke off", "other_failures", item["broken"])
        elif "point" in item:
            points[item["point"]] += 1
            if "error" in item:
                report.bad(item["name"], "other_failures", item["error"])
            else:
                report.good()
        else:
            cases += 1
            report.check(item["name"], "error" not in item, item.get("error", ""))
    report.figures = {"cases": cases, **{f"calls_{how}": n for how, n in points.items()}}
    report.finish()


if __name__ == "__main__":
    main()
