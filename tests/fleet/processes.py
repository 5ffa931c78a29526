"""The processes of a run: those of keyturn-fleet, and what the kernel says of one."""

import json
import os
import resource
import subprocess
import threading
import time

LINKS_A_HUB, LINKS_WITH_COPY, DESCRIPTORS_A_LINK, OTHER_DESCRIPTORS = 2, 3, 3, 64
HUBS_A_PROCESS_MIN = 50  # fewer are not worth another process


def cpu_s(pid):
    """User and system time of a process, all threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid, what="VmRSS"):
    """VmRSS, or VmHWM: the most it ever was."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(what + ":"):
                return int(line.split()[1])
    return 0


def wait(look, is_done, timeout, quiet=60):
    """Until is_done(look()); what was seen last. Gives up after timeout, or quiet seconds without any change."""
    end, last, changed = time.monotonic() + timeout, None, time.monotonic()
    while True:
        seen, now = look(), time.monotonic()
        if seen != last:
            last, changed = seen, now
        if is_done(seen) or now > end or now - changed > quiet:
            return seen
        time.sleep(0.1)


def shares(hubs, links=LINKS_A_HUB):
    """How many hubs each process has: (first, count)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (max(soft, hard) - OTHER_DESCRIPTORS) // (links * DESCRIPTORS_A_LINK)
    wanted = min(os.cpu_count() or 1, max(1, hubs // HUBS_A_PROCESS_MIN))
    count = max(wanted, -(-hubs // most))
    first = 0
    for i in range(count):
        size = hubs // count + (1 if i < hubs % count else 0)
        yield first, size
        first += size


class Process:
    """One keyturn-fleet. It ends when its stdin does, so never later than we."""

    def __init__(self, command, log):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.pid = self.process.pid

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"keyturn-fleet ended: exit {self.process.wait()}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()

    def quit(self, timeout=30):
        """The exit code."""
        self.process.stdin.close()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Fleet:
    """All processes together."""

    def __init__(self, program, hubs, arguments, log_path):
        self.program, self.arguments = program, arguments
        self.hubs, self.processes = 0, []
        self.log = open(log_path, "ab")
        self.grow(hubs)

    def grow(self, hubs):
        """So many more, in processes of their own."""
        links, added = LINKS_WITH_COPY if "--clone" in self.arguments else LINKS_A_HUB, []
        for first, count in shares(hubs, links):
            added.append(Process([self.program, "--first", str(self.hubs + first), "--count", str(count)] +
                                 self.arguments, self.log))
        self.processes += added
        self.hubs += hubs
        for process in added:
            if process.read() != {"ready": True}:
                raise RuntimeError("keyturn-fleet does not get ready")

    def status(self, command="status"):
        """Sums; `generations`: how many settled hubs have which. command: one that is answered in the same way."""
        total = {"hubs": 0, "settled": 0, "absent": 0, "copies": 0, "copies_refused": 0, "generations": {}}
        for answer in [process.ask(command) for process in self.processes]:
            for name in total:
                if name != "generations":
                    total[name] += answer[name]
            for number, count in answer["generations"].items():
                total["generations"][number] = total["generations"].get(number, 0) + count
        return total

    def come(self):
        """Who was offline."""
        return self.status("come")

    def bring_copies(self):
        return self.status("copies")

    def drop(self):
        """All connections are lost."""
        return self.status("drop")

    def report(self):
        """Spans and counts of all, merged; `devices`, `copies`: of each what it says of itself."""
        merged = {"devices": [], "copies": [], "spans": {}, "counts": {}}
        for report in [process.ask("report") for process in self.processes]:
            merged["devices"] += report["devices"]
            merged["copies"] += report["copies"]
            for name, count in report["counts"].items():
                merged["counts"][name] = merged["counts"].get(name, 0) + count
            for name, span in report["spans"].items():
                known = merged["spans"].setdefault(name, {"first_us": None, "last_us": None, "us": []})
                if not span["us"]:
                    continue
                known["us"] += span["us"]
                known["first_us"] = min(filter(None, (known["first_us"], span["first_us"])))
                known["last_us"] = max(filter(None, (known["last_us"], span["last_us"])))
        return merged

    def cpu_s(self):
        return sum(cpu_s(process.pid) for process in self.processes)

    def rss_kib(self):
        return sum(rss_kib(process.pid) for process in self.processes)

    def quit(self):
        """All goodbyes at the same time; the exit codes."""
        codes = [None] * len(self.processes)

        def end(i):
            codes[i] = self.processes[i].quit()

        threads = [threading.Thread(target=end, args=(i,)) for i in range(len(self.processes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return codes
