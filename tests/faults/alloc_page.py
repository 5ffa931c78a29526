"""The page that a program and alloc_shim share: which of its allocations fail, and which there were."""

import mmap
import os
import struct
import time

from place import BUILD

PATHS_MAX = 65536
FIELDS = ("armed", "count", "fail_from", "fail_to", "failed", "direct", "first", "pid")
BYTES = 8 * len(FIELDS) + 4 * PATHS_MAX
FOR_GOOD = 1 << 40
PLUGIN, PROGRAM = "mosquitto_keyturn.so", "-"


class Lost(Exception):
    """An answer that does not come: an allocation had failed on its way."""


class Page:
    """Fails allocations of a program that runs with env(). once: one of them; else all from there on, until disarm()."""

    QUIET_S = 0.15  # nothing came for so long after a failure: it is lost (a wrong guess is only a retry too many)

    def __init__(self, path, ours):
        self.path, self.ours = path, ours
        with open(path, "wb") as page:
            page.write(bytes(BYTES))
        with open(path, "r+b") as page:
            self.memory = mmap.mmap(page.fileno(), BYTES)

    def env(self, openssl=False):
        """openssl: what it asks for on our behalf counts, too."""
        return dict(os.environ, LD_PRELOAD=BUILD + "/tests/alloc_shim.so", KT_ALLOC_PAGE=self.path, KT_ALLOC_OURS=self.ours,
                    KT_ALLOC_OPENSSL="yes" if openssl else "no")

    def _get(self, name):
        return struct.unpack_from("<Q", self.memory, 8 * FIELDS.index(name))[0]

    def _set(self, name, value):
        struct.pack_into("<Q", self.memory, 8 * FIELDS.index(name), value)

    def arm(self, n, is_once):
        """The n-th from now on; 0: none, they are counted only."""
        self._set("armed", 0)
        for name in ("count", "failed", "direct", "first"):
            self._set(name, 0)
        self._set("fail_from", n or FOR_GOOD)
        self._set("fail_to", n if is_once else FOR_GOOD)
        self._set("armed", 1)

    def disarm(self):
        self._set("armed", 0)

    def is_armed(self):
        return self._get("armed") == 1

    def failed(self):
        return self._get("failed")

    def count(self):
        return self._get("count")

    def direct(self):
        return self._get("direct")

    def first(self):
        """Where in our text the first that failed was asked for: an address for addr2line."""
        return self._get("first")

    def paths(self):
        """Of each that was counted the hash of its call path."""
        count = min(self.count(), PATHS_MAX)
        return struct.unpack_from(f"<{count}I", self.memory, 8 * len(FIELDS))

    def wait(self, what, condition, seconds=60):
        """Until the condition holds. Lost: an allocation failed and nothing came of it; all succeed from then on."""
        began, failed_at = time.monotonic(), None
        while not condition():
            now = time.monotonic()
            if failed_at is None and self.is_armed() and self.failed() > 0:
                failed_at = now
            if failed_at is not None and now > failed_at + self.QUIET_S:
                self.disarm()
                raise Lost(what)
            if now > began + seconds:
                raise AssertionError(f"{what}: not within {seconds} s")
            time.sleep(0.002)


__all__ = ["FOR_GOOD", "Lost", "PLUGIN", "PROGRAM", "Page"]
