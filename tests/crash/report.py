"""Points handed to workers, and what became of them."""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import traceback


class Report:
    """Counts, failures by name, figures; prints them at the end. Text goes to stderr where JSON is asked for."""

    def __init__(self, mode, is_json):
        self.mode, self.is_json = mode, is_json
        self.passed = self.failed = 0
        self.longest_s, self.longest_at = 0.0, ""
        self.figures, self.shown = {}, {}
        self.counts = {"lockouts": 0, "retired_accepted": 0, "facts_lost": 0, "other_failures": 0}
        self.out = sys.stderr if is_json else sys.stdout

    def say(self, text):
        print(text, file=self.out, flush=True)

    def took(self, name, seconds):
        """A recovery; the longest is a figure."""
        if seconds > self.longest_s:
            self.longest_s, self.longest_at = seconds, name

    def good(self, count=1):
        self.passed += count

    def bad(self, name, kind, detail):
        """kind: one of counts."""
        self.failed += 1
        self.counts[kind] += 1
        self.shown[kind, name[:12]] = shown = self.shown.get((kind, name[:12]), 0) + 1
        if shown <= 10:
            self.say(f"not ok {name} ({kind})\n    {detail}")

    def check(self, name, is_good, detail=""):
        if is_good:
            self.good()
            self.say(f"ok {name}")
        else:
            self.bad(name, "other_failures", detail)

    def finish(self):
        figures = dict(mode=self.mode, **self.figures, **self.counts, longest_recovery_s=round(self.longest_s, 2),
                       passed=self.passed, failed=self.failed)
        if self.is_json:
            print(json.dumps(figures), flush=True)
        for name, value in figures.items():
            if name not in ("mode", "passed", "failed"):
                self.say(f"{self.mode}: {name.replace('_', ' ')}: {value}")
        if self.longest_at:
            self.say(f"{self.mode}: the longest recovery: {self.longest_at}")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        raise SystemExit(0 if self.failed == 0 and self.passed > 0 else 1)


def workers(count, function, *arguments):
    """function(index, count, put, *arguments) in `count` processes; yields what they put."""
    queue = multiprocessing.get_context("fork").Queue()
    children = []
    for index in range(count):
        child = multiprocessing.get_context("fork").Process(target=_work, args=(function, index, count, queue, arguments))
        child.start()
        children.append(child)
    left = count
    try:
        while left > 0:
            item = queue.get()
            if item is None:
                left -= 1
            else:
                yield item
        for child in children:
            child.join()
    finally:
        for child in children:
            if child.is_alive():
                os.kill(child.pid, signal.SIGKILL)


def _work(function, index, count, queue, arguments):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives the run
    try:
        function(index, count, queue.put, *arguments)
    except BaseException:  # pylint: disable=broad-except
        queue.put({"broken": traceback.format_exc()})
    queue.put(None)
