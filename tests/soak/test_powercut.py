"""What powercut.c notes and powercut.py makes of it: is exactly what was not synced lost?

    test_powercut.py SOAK_POWERCUT_SO
"""

import os
import random
import subprocess
import sys
import tempfile

from powercut import cut

passed = failed = 0

# Runs under the library. sync(".") makes names durable, sync("file") data.
WORK = """
import os, sys
os.chdir(sys.argv[1])
def write(name, text, mode="w"):
    with open(name, mode) as file:
        file.write(text)
def sync(name):
    fd = os.open(name, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
exec(sys.argv[2])
"""

BEFORE = """
for name in ("kept", "changed", "renamed", "deleted", "replaced"):
    write(name, "old"); sync(name)
os.mkdir("dir"); write("dir/inner", "old"); sync("dir/inner"); sync("dir")
os.symlink("old", "link")
sync(".")
"""

UNSYNCED = """
write("changed", "new", "r+")
os.rename("renamed", "elsewhere")
os.unlink("deleted")
write("aside", "new"); sync("aside"); os.rename("aside", "replaced")
write("fresh", "new"); sync("fresh")
write("dir/inner", "new", "r+"); write("dir/more", "new")
os.mkdir("other"); write("other/file", "new")
os.symlink("new", "link.new"); os.rename("link.new", "link")
"""

SYNCED = """
sync("changed"); sync("dir/inner"); sync("dir/more"); sync("dir"); sync("other/file"); sync("other"); sync(".")
"""

OLD = {"kept": "old", "changed": "old", "renamed": "old", "deleted": "old", "replaced": "old", "dir/inner": "old",
       "link": "-> old"}
NEW = {"kept": "old", "changed": "new", "elsewhere": "old", "replaced": "new", "fresh": "new", "dir/inner": "new",
       "dir/more": "new", "other/file": "new", "link": "-> new"}


def check(name, got, want):
    global passed, failed
    passed, failed = passed + (got == want), failed + (got != want)
    print(f"ok {name}" if got == want else f"not ok {name}\n    got {got}, expected {want}")


def tree(root):
    found = {}
    for where, _, files in os.walk(root):
        for name in files:
            path = os.path.join(where, name)
            short = os.path.relpath(path, root)
            if os.path.islink(path):
                found[short] = "-> " + os.readlink(path)
            else:
                with open(path) as file:
                    found[short] = file.read()
    return found


def run(root, work):
    env = dict(os.environ, LD_PRELOAD=sys.argv[1], KT_POWERCUT_ROOT=root, KT_POWERCUT_NOTE=root + ".note")
    subprocess.run([sys.executable, "-B", "-c", WORK, root, work], env=env, check=True)


def after(work, keep_chance):
    with tempfile.TemporaryDirectory() as temp:
        root = temp + "/disk"
        os.mkdir(root)
        run(root, BEFORE)
        run(root, work)  # another process: killed and started, but the power stayed
        cut(root, root + ".note", random.Random(1), keep_chance)
        first = tree(root)
        run(root, "")    # the next start: what the disk held is what it holds
        cut(root, root + ".note", random.Random(1), 0.0)
        check("a second cut loses nothing more", tree(root), first)
        return first


check("what was synced is there", after("", 0.0), OLD)
check("nothing unsynced survives where nothing shall", after(UNSYNCED, 0.0), OLD)
check("all of it where all shall", after(UNSYNCED, 1.0), NEW)
check("synced once more, all of it is there", after(UNSYNCED + SYNCED, 0.0), NEW)
check("data without names is not there", "fresh" in after('write("fresh", "new"); sync("fresh")', 0.0), False)
check("names without data are empty", after('write("fresh", "new"); sync(".")', 0.0).get("fresh"), "")
check("a directory without names is empty", any(
    name.startswith("other/") for name in after('os.mkdir("other"); write("other/file", "x"); sync("other/file"); sync(".")', 0.0)),
      False)
check("a file of the number of a deleted one is another", after(
    'os.unlink("deleted"); write("x", "1"); os.unlink("x"); write("y", "2"); sync(".")', 0.0).get("y"), "")
seen = set()
for seed in range(12):
    with tempfile.TemporaryDirectory() as temp:
        root = temp + "/disk"
        os.mkdir(root)
        run(root, BEFORE)
        run(root, UNSYNCED)
        cut(root, root + ".note", random.Random(seed), 0.5)
        seen.add(tuple(sorted(tree(root).items())))
        found = tree(root)
        if found.get("changed") not in ("old", "new") or found.get("replaced") not in ("old", "new"):
            check("each file is as of before or as of now", found, "old or new")
check("in between there are many ways", len(seen) >= 4, True)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
