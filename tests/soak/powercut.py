"""The disk of a hub whose power was cut, out of the note of powercut.c: unsynced data is lost, or is not."""

import os
import shutil
import subprocess


class Note:
    """What was synced of the tree under root, and what is there now."""

    def __init__(self, root, note, rng, keep_chance):
        self.root, self.note, self.rng, self.keep_chance = root, note, rng, keep_chance
        self.now = {}  # key: path of what is there
        paths = [root] + [os.path.join(where, name) for where, dirs, files in os.walk(root) for name in dirs + files]
        found = subprocess.run(["stat", "--printf", "%i.%.9W %n\\n"] + paths, capture_output=True, text=True, check=True)
        for line in found.stdout.splitlines():
            key, path = line.split(" ", 1)
            self.now[key] = path

    def root_key(self):
        return next(key for key, path in self.now.items() if path == self.root)

    def _survives(self):
        """Did the kernel happen to write what nobody had synced?"""
        return self.rng.random() < self.keep_chance

    def names(self, key):
        """(type, key, mode, name, target) of a directory after the cut; each is synced or present, never half."""
        path = os.path.join(self.note, "dir", key)
        if key in self.now and (self._survives() or not os.path.exists(path)):
            if os.path.exists(path) or self._survives():
                return self._present(self.now[key])
        if not os.path.exists(path):
            return []
        with open(path) as lines:
            rows = [line.rstrip("\n").split(" ", 4) for line in lines]
        return [(kind, inner, int(mode, 8), name, target) for kind, inner, mode, name, target in rows]

    def _present(self, directory):
        keys = {path: key for key, path in self.now.items()}
        rows = []
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode & 0o7777
            if os.path.islink(path):
                rows.append(("l", keys[path], mode, name, os.readlink(path)))
            else:
                rows.append(("d" if os.path.isdir(path) else "f", keys[path], mode, name, ""))
        return rows

    def data(self, key):
        """The bytes of a file after the cut: as of its last fsync, or as they are; empty if it never had one."""
        synced = os.path.join(self.note, "file", key)
        live = os.path.join(self.note, "live", key)
        if not os.path.exists(live):
            live = self.now.get(key)
        if live is not None and self._survives():
            with open(live, "rb") as file:
                return file.read()
        if os.path.exists(synced):
            with open(synced, "rb") as file:
                return file.read()
        return b""

    def build(self, key, into):
        """The directory of that key, as the next start finds it."""
        os.mkdir(into, 0o700)
        for kind, inner, mode, name, target in self.names(key):
            path = os.path.join(into, name)
            if kind == "l":
                os.symlink(target, path)
            elif kind == "d":
                self.build(inner, path)
                os.chmod(path, mode)
            else:
                with open(path, "wb") as file:
                    file.write(self.data(inner))
                os.chmod(path, mode)


def cut(root, note, rng, keep_chance=None):
    """Replaces root by what survives; the note begins anew. keep_chance 0: nothing unsynced survives."""
    if keep_chance is None:
        keep_chance = rng.choice((0.0, 0.0, 0.5))
    disk = Note(root, note, rng, keep_chance)
    fresh = root + ".fresh"
    if not os.path.exists(os.path.join(note, "dir", disk.root_key())):
        raise RuntimeError(f"{root} was never noted")
    disk.build(disk.root_key(), fresh)
    shutil.rmtree(root)
    os.rename(fresh, root)
    shutil.rmtree(note)
    return keep_chance
