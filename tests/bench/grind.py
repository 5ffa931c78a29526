"""What callgrind has counted, by thread and by object: the broker's thread, and what of it is the plugin's."""

import glob
import re
import subprocess

NAMED = re.compile(r"\((\d+)\)(?: (.*))?$")


class Grind:
    """A program that runs under callgrind with --separate-threads=yes --instr-atstart=no, and its files."""

    def __init__(self, pid, out):
        self.pid, self.out = pid, out

    def control(self, *arguments):
        subprocess.run(["callgrind_control", *arguments, str(self.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60)

    def begin(self):
        self.control("--instr=on")
        self.control("--zero")

    def end(self):
        """Instructions since begin(): {"broker": of the first thread, "all": of all, "ours": inside calls into us}."""
        self.control("--dump=measured")
        self.control("--instr=off")
        files = [path for path in glob.glob(self.out + "*") if is_measured(path)]
        main = [path for path in files if thread_of(path) == 1]
        if len(main) != 1:
            raise RuntimeError(f"callgrind wrote {files}")
        return {"broker": total_of(main[0]), "all": sum(total_of(path) for path in files),
                "ours": inclusive_of(main[0], "mosquitto_keyturn.so")}


def head_of(path):
    with open(path, errors="replace") as file:
        return [line for _, line in zip(range(40), file)]


def is_measured(path):
    return any(line.startswith("desc: Trigger:") and "measured" in line for line in head_of(path))


def thread_of(path):
    return int(next((line.split(":")[1] for line in head_of(path) if line.startswith("thread:")), "0"))


def total_of(path):
    with open(path, errors="replace") as file:
        for line in file:
            if line.startswith(("totals:", "summary:")):
                return int(line.split()[1])
    raise RuntimeError(f"{path}: no totals")


def inclusive_of(path, library):
    """Instructions within calls that lead into this object from another one."""
    names, at, called, total, is_call = {}, "", "", 0, False

    def name(text):
        match = NAMED.match(text)
        if match is None:
            return text
        if match.group(2) is not None:
            names[match.group(1)] = match.group(2)
        return names.get(match.group(1), "")

    with open(path, errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            if is_call:  # the line behind calls=: position and inclusive cost
                if called.endswith(library) and not at.endswith(library):
                    total += int(line.split()[-1])
                called, is_call = at, False
            elif line.startswith("ob="):
                at = name(line[3:])
            elif line.startswith("cob="):
                called = name(line[4:])
            elif line.startswith("fn="):
                called = at
            elif line.startswith("calls="):
                is_call = True
    return total
