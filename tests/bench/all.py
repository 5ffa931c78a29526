"""Results of benchmarks, one file each, and the machine that they were measured on.

    all.py result NAME OUT STORY SECONDS    what run.sh NAME --json left, as one object
    all.py join FILE...                     all of them (FILE.json), and the machine

The machine is named by its sizes alone.
"""

import json
import os
import pathlib
import re
import subprocess
import sys


def checks_of(story):
    """The lines "ok WHAT", "not ok WHAT" with what stands indented right behind them."""
    found, is_open = [], False
    for line in story.splitlines():
        match = re.match(r"(not )?ok (.*)", line)
        if match:
            found.append({"ok": match[1] is None, "what": match[2], "detail": ""})
        is_open = match[1] is not None if match else is_open and line.startswith("    ")
        if is_open and not match:
            found[-1]["detail"] = (found[-1]["detail"] + " " + line.strip()).strip()
    return found


def result(name, out, story, seconds):
    lines = pathlib.Path(out).read_text().splitlines()
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1]) if lines else None
    documents = [json.loads(line) for line in lines if line.startswith("{")]
    return {"name": name, "seconds": int(seconds), "passed": int(counts[1]) if counts else 0,
            "failed": int(counts[2]) if counts else 1, "checks": checks_of(pathlib.Path(story).read_text()),
            "document": documents[-1] if documents else None}


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ((done.stdout + done.stderr).splitlines() or [""])[0]


def version(text):
    match = re.search(r"\d+\.\d+[\w.]*", text)
    return match[0] if match else ""


def package(name):
    return version(re.sub(r"^\d+:", "", first_line("dpkg-query", "-W", "-f", "${Version}", name)))


def machine():
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1])
    with open("/etc/os-release") as file:
        release = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    system = os.uname()
    distribution = release.get("NAME", "").strip('"').split()[:1] + [release.get("VERSION_ID", "").strip('"')]
    software = {"Mosquitto": version(first_line(os.environ.get("KT_BROKER", "mosquitto"), "-h")),
                "OpenSSL": version(first_line("openssl", "version")), "SQLite": version(first_line("sqlite3", "--version"))}
    for title, names in (("wolfSSL", ("libwolfssl-dev",)), ("Paho", ("libpaho-mqtt-dev",)), ("certmonger", ("certmonger",))):
        software[title] = next((found for found in map(package, names) if found), "")
    return {"processors": os.cpu_count(), "memory_gib": round(memory / 1024 / 1024), "kernel": f"{system.sysname} {system.release.split('.')[0]}",
            "architecture": system.machine, "distribution": " ".join(distribution).strip(),
            "software": {title: found for title, found in software.items() if found}}


def main(words):
    if words[0] == "result":
        print(json.dumps(result(*words[1:5])))
    else:
        print(json.dumps({"benchmark": "all", "machine": machine(),
                          "results": [json.loads(pathlib.Path(path + ".json").read_text()) for path in words[1:]]}))


if __name__ == "__main__":
    main(sys.argv[1:])
