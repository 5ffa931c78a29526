"""What happened, as JSON lines, in the order in which it was noticed; and the clock of it.

A line has t (monotonic microseconds), w (wall clock, microseconds), src and event. Lines of a program's log
have its fields; what the driver did itself has src=driver. Nothing is judged here: check_history.py does.
"""

import json
import re
import threading
import time

FIELD = re.compile(r'([A-Za-z_]+)=("((?:[^"\\]|\\.)*)"|\S*)')


class History:
    def __init__(self, path):
        self.file = open(path, "w")
        self.lock = threading.Lock()
        self.last_id = 0

    def add(self, src, event, **fields):
        line = {"t": time.monotonic_ns() // 1000, "w": time.time_ns() // 1000, "src": src, "event": event}
        line.update(fields)
        with self.lock:
            self.file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def new_id(self):
        with self.lock:
            self.last_id += 1
            return self.last_id

    def close(self):
        with self.lock:
            self.file.close()


def fields_of(line):
    """event=a.b key=value key="quoted value" as a dict; None where it is no such line."""
    at = line.find("event=")
    if at < 0:
        return None
    found = {}
    for name, value, quoted in FIELD.findall(line[at:]):
        found[name] = quoted if value.startswith('"') else value
    return found
