"""What a power cut can leave on disk: from a log of crash_shim to directories.

The log becomes a list of steps on inodes (names are looked up in the file system as the program saw it). After each
step some of the earlier ones may not have reached the disk:

  posix    a name lasts once its directory was synced, content once its file was; of all else any subset may be there
  ordered  a journal: names, sizes and modes last in their order, and all of them from any sync on; content reaches
           the disk before the rename that shows it; of all other content any subset may be there

All subsets of up to SMALL steps, a sample with a fixed seed of more; and the last write torn. A write that is lost
before one that is not leaves zeros. A state is a small immutable file system; build() makes it a directory.
"""

import os
import random
import shutil
import struct

from place import KINDS

SEED = 20240229
SMALL = 6
SECTOR = 512
HEAD = struct.Struct("<IiQQQIIIIQQ")
O_CREAT, O_TRUNC = os.O_CREAT, os.O_TRUNC


def read_log(path):
    """The entries of one log: dicts, in order."""
    entries = []
    with open(path, "rb") as log:
        data = log.read()
    at = 0
    while at + HEAD.size <= len(data):
        kind, fd, time_ns, offset, _, mode, path_len, path2_len, data_len, _, _ = HEAD.unpack_from(data, at)
        at += HEAD.size
        entries.append({"kind": KINDS[kind], "fd": fd, "time": time_ns, "offset": offset, "mode": mode,
                        "path": data[at:at + path_len].decode(), "path2": data[at + path_len:at + path_len + path2_len].decode(),
                        "data": data[at + path_len + path2_len:at + path_len + path2_len + data_len]})
        at += path_len + path2_len + data_len
    return entries


class Disk:
    """One state. Inodes: numbers; 0 is the root directory. All values are immutable, so that a copy is cheap."""

    def __init__(self):
        self.names = {0: ()}  # of a directory: ((name, inode), ...)
        self.content = {}  # of a file
        self.target = {}  # of a symbolic link
        self.mode = {0: 0o700}

    def copy(self):
        other = Disk()
        other.names, other.content = dict(self.names), dict(self.content)
        other.target, other.mode = dict(self.target), dict(self.mode)
        return other

    def entries(self, directory):
        return dict(self.names.get(directory, ()))

    def _set(self, directory, name, inode):
        entries = self.entries(directory)
        entries.pop(name, None)
        if inode is not None:
            entries[name] = inode
        self.names[directory] = tuple(sorted(entries.items()))

    def apply(self, step):
        what, inode = step.what, step.inode
        if what == "write":
            old = self.content.get(inode, b"")
            old += bytes(max(0, step.at - len(old)))
            self.content[inode] = old[:step.at] + step.data + old[step.at + len(step.data):]
        elif what == "truncate":
            old = self.content.get(inode, b"")
            self.content[inode] = old[:step.at] + bytes(max(0, step.at - len(old)))
        elif what == "mode":
            self.mode[inode] = step.at
        elif what == "add":
            self._set(step.directory, step.name, inode)
            self.mode.setdefault(inode, step.at)
            if step.make == "dir":
                self.names.setdefault(inode, ())
            elif step.make == "link":
                self.target[inode] = step.data
            else:
                self.content.setdefault(inode, b"")
        elif what == "remove":
            self._set(step.directory, step.name, None)
        elif what == "move":
            self._set(step.directory, step.name, None)
            self._set(step.directory2, step.name2, inode)
            # a name may reach the disk without what made it
            if inode not in self.names and inode not in self.target:
                self.content.setdefault(inode, b"")
            self.mode.setdefault(inode, step.at)

    def find(self, parts):
        inode = 0
        for part in parts:
            inode = self.entries(inode).get(part)
            if inode is None:
                return None
        return inode

    def walk(self, directory=0, prefix=""):
        """(path, inode) of all that has a name, parents first."""
        for name, inode in self.names.get(directory, ()):
            yield prefix + name, inode
            if inode in self.names:
                yield from self.walk(inode, prefix + name + "/")

    def key(self):
        """Two states with one key are the same."""
        return hash(tuple((path, self.mode.get(inode), self.content.get(inode), self.target.get(inode))
                          for path, inode in self.walk()))

    def build(self, path):
        """A directory with this content."""
        os.makedirs(path, mode=0o700)
        for name, inode in self.walk():
            full = f"{path}/{name}"
            if inode in self.names:
                os.mkdir(full, self.mode[inode] & 0o7777)
            elif inode in self.target:
                os.symlink(self.target[inode], full)
            else:
                fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode[inode] & 0o7777)
                os.write(fd, self.content[inode])
                os.close(fd)


class Step:
    """One change, one sync, or one mark (bytes that somebody else got)."""

    def __init__(self, what, time_ns, inode=None, **more):
        self.what, self.time, self.inode = what, time_ns, inode
        self.at, self.data, self.make = more.get("at", 0), more.get("data", b""), more.get("make", "file")
        self.directory, self.name = more.get("directory"), more.get("name")
        self.directory2, self.name2 = more.get("directory2"), more.get("name2")
        self.mark = more.get("mark")

    def is_change(self):
        return self.what not in ("sync", "mark")

    def is_content(self):
        return self.what == "write"


class History:
    """The steps below `root` (a directory that was empty when the log began)."""

    def __init__(self, log, root, mark, torn, sample):
        """mark(entry): what a send or TLS entry says, a list. torn: at how many places a write is torn; sample: how
        many subsets of more than SMALL steps."""
        self.torn, self.sample = torn, sample
        self.root, self.steps, self.disk = root + "/", [], Disk()
        self.next_inode = 1
        self.open = {}
        for entry in read_log(log):
            self._take(entry, mark)

    def _parts(self, path):
        return path[len(self.root):].split("/") if path.startswith(self.root) and len(path) > len(self.root) else None

    def _push(self, step):
        self.steps.append(step)
        if step.is_change():
            self.disk.apply(step)

    def _where(self, path):
        """(directory inode, name) of a path below the root, else (None, None)."""
        parts = self._parts(path)
        return (self.disk.find(parts[:-1]), parts[-1]) if parts else (None, None)

    def _add(self, entry, make, mode, data=b""):
        directory, name = self._where(entry["path"])
        if directory is None:
            return
        inode, self.next_inode = self.next_inode, self.next_inode + 1
        self._push(Step("add", entry["time"], inode, directory=directory, name=name, make=make, at=mode, data=data))

    def _take(self, entry, mark):
        kind, time_ns = entry["kind"], entry["time"]
        inode = self.open.get(entry["fd"])
        if kind == "start":
            self.open = {}
            mark(entry)
        elif kind == "open":
            self._open(entry)
        elif kind == "close":
            self.open.pop(entry["fd"], None)
            mark(entry)
        elif kind in ("send", "tls"):
            for text in mark(entry):
                self.steps.append(Step("mark", time_ns, mark=text))
        elif kind in ("write", "truncate", "chmod", "sync"):
            if inode is None:
                return
            if kind == "sync":
                self.steps.append(Step("sync", time_ns, inode))
            elif kind == "chmod":
                self._push(Step("mode", time_ns, inode, at=entry["mode"]))
            else:
                self._push(Step(kind, time_ns, inode, at=entry["offset"], data=entry["data"]))
        elif kind == "mkdir":
            self._add(entry, "dir", entry["mode"])
        elif kind == "symlink":
            self._add(entry, "link", 0o777, entry["path2"])
        elif kind in ("unlink", "rmdir"):
            directory, name = self._where(entry["path"])
            if directory is not None:
                self._push(Step("remove", time_ns, self.disk.entries(directory).get(name), directory=directory, name=name))
        elif kind == "rename":
            self._move(entry)
        elif self._parts(entry["path"]) is not None:
            raise ValueError(f"the enumerator does not know {kind}")

    def _open(self, entry):
        parts = self._parts(entry["path"])
        is_root = entry["path"] == self.root[:-1]
        inode = 0 if is_root else self.disk.find(parts) if parts else None
        if inode is None and parts and entry["offset"] & O_CREAT:
            self._add(entry, "file", entry["mode"])
            inode = self.disk.find(parts)
        elif inode is not None and entry["offset"] & O_TRUNC:
            self._push(Step("truncate", entry["time"], inode, at=0))
        self.open[entry["fd"]] = inode

    def _move(self, entry):
        directory, name = self._where(entry["path"])
        directory2, name2 = self._where(entry["path2"])
        if directory is None and directory2 is None:
            return
        inode = self.disk.entries(directory)[name]
        self._push(Step("move", entry["time"], inode, directory=directory, name=name, directory2=directory2, name2=name2,
                        at=self.disk.mode[inode]))

    # --- the states

    def disk_at(self, time_ns):
        """All that was done until then, nothing lost."""
        disk = Disk()
        for step in self.steps:
            if step.time <= time_ns and step.is_change():
                disk.apply(step)
        return disk

    def states(self, model, is_mine=lambda index: True):
        """(index of the last step, Disk), each state of each prefix; the same state may come again."""
        chance = random.Random(SEED)
        base, done, pending = Disk(), 0, []
        for index, step in enumerate(self.steps):
            if step.what == "mark":
                continue
            if step.is_change():
                pending.append(index)
            else:
                pending = [i for i in pending if not self._is_settled(model, i, step.inode)]
            first = pending[0] if pending else index + 1
            while done < first:  # all before that is on the disk for good
                if self.steps[done].is_change():
                    base.apply(self.steps[done])
                done += 1
            if is_mine(index):
                for disk in self._of_prefix(model, base, done, index, pending, chance):
                    yield index, disk

    def _is_settled(self, model, index, synced):
        """Does a sync of this inode make the step last?"""
        step = self.steps[index]
        if model == "ordered" and not step.is_content():
            return True
        if step.what in ("add", "remove"):
            return step.directory == synced
        if step.what == "move":  # both directories are the same in all that we do
            return step.directory2 == synced
        return step.inode == synced

    def _of_prefix(self, model, base, done, index, pending, chance):
        last = self.steps[index]
        rest = [i for i in range(done, index + 1) if self.steps[i].is_change()]
        for kept in self._choices(model, pending, chance):
            lost = set(pending) - kept
            yield self._replay(base, [self.steps[i] for i in rest if i not in lost])
            if last.is_content() and index in kept:
                before = [self.steps[i] for i in rest if i not in lost and i != index]
                for torn in _torn(last, self.torn):
                    yield self._replay(base, before + [torn])

    def _choices(self, model, pending, chance):
        if model == "posix":
            yield from _subsets(pending, chance, self.sample)
            return
        names = [i for i in pending if not self.steps[i].is_content()]
        content = [i for i in pending if self.steps[i].is_content()]
        for cut in range(len(names) + 1):
            kept = set(names[:cut])
            shown = {self.steps[i].inode: i for i in kept if self.steps[i].what == "move"}
            bound = {i for i in content if i < shown.get(self.steps[i].inode, -1)}
            for some in _subsets([i for i in content if i not in bound], chance, self.sample):
                yield kept | bound | some

    @staticmethod
    def _replay(base, steps):
        disk = base.copy()
        for step in steps:
            disk.apply(step)
        return disk


def _subsets(items, chance, sample):
    """All of few; of many none, all, the last ones alone and missing, and a sample."""
    if len(items) <= SMALL:
        for bits in range(1 << len(items)):
            yield {item for n, item in enumerate(items) if bits >> n & 1}
        return
    whole = set(items)
    yield set()
    yield whole
    for item in items[-SMALL // 2:]:
        yield {item}
        yield whole - {item}
    for _ in range(sample):
        yield {item for item in items if chance.random() < 0.5}


def _torn(step, places):
    """A write of which only the first, or only the last sectors reached the disk."""
    size = len(step.data)
    cuts = range(SECTOR, size, SECTOR) if size > SECTOR else range(size // 2, size // 2 + 1)
    for cut in list(cuts)[::-(-len(cuts) // places)]:
        if 0 < cut < size:
            yield Step("write", step.time, step.inode, at=step.at, data=step.data[:cut])
            yield Step("write", step.time, step.inode, at=step.at + cut, data=step.data[cut:])


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
