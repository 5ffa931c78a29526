"""Do the benchmarks' own figures, and the page that is made of them, say what they should? Ends with "N passed, N failed"."""

import json
import pathlib
import tempfile
import xml.dom.minidom

import agent
import all as results_of
import play
import report
import svg
from counted import equal, file_of, finish
from figures import percentile

def figures():
    equal("the ratio is that of the same round, the middle one", play.paired({"a": [2, 30, 9], "b": [1, 10, 9]}, "a", "b"), 2)
    equal("a round without a baseline is left out", play.paired({"a": [2, 5], "b": [1, 0]}, "a", "b"), 2)
    equal("p50 of four", percentile([4, 1, 3, 2], 50), 2)
    equal("p99 of a hundred", percentile(range(1, 101), 99), 99)


TRACE = """10 write(3</s/key>, "x"..., 100) = 100
10 write(1</dev/pts/0>, "/s/"..., 50) = 50
11 pwrite64(4</s/record>, ""..., 5000, 0 <unfinished ...>
10 fsync(3</s/key>) = 0
11 <... pwrite64 resumed>) = 5000
10 fdatasync(9</other>) = 0
10 rename("/s/a", "/s/b") = 0
10 unlink("/s/c") = -1 ENOENT (No such file or directory)
10 write(3</s/key>, "x"..., 7) = -1 ENOSPC (No space left on device)
"""


def traces():
    equal("what strace saw, also in two halves, and nothing that failed or went elsewhere", agent.writes_of(file_of(TRACE), "/s/"),
          {"bytes": 5100, "writes": 2, "blocks_4k": 3, "syncs": 1, "names": 1})
    equal("nothing under another directory", agent.writes_of(file_of(TRACE), "/nowhere/")["bytes"], 0)


def results():
    story = "connect: words\nok a\nnot ok b: at most 1 (2)\n    why\n    it is\n  more words\n    and figures\nok c\n    not a detail\n"
    equal("checks, and the details of those that failed", results_of.checks_of(story),
          [{"ok": True, "what": "a", "detail": ""}, {"ok": False, "what": "b: at most 1 (2)", "detail": "why it is"},
           {"ok": True, "what": "c", "detail": ""}])
    got = results_of.result("x", file_of('{"benchmark": "x", "n": 1}\n2 passed, 1 failed\n'), file_of(story), "7")
    equal("counts and document of a result", (got["passed"], got["failed"], got["document"], got["seconds"]),
          (2, 1, {"benchmark": "x", "n": 1}, 7))
    got = results_of.result("x", file_of(""), file_of(""), "7")
    equal("one that broke off has failed", (got["passed"], got["failed"], got["document"]), (0, 1, None))
    machine = results_of.machine()
    equal("the machine by its sizes", sorted(machine), ["architecture", "distribution", "kernel", "memory_gib", "processors", "software"])
    equal("no host name and no path in it", [word for word in json.dumps(machine).split('"')
                                             if "/" in word or word == results_of.os.uname().nodename], [])


def plots():
    axis = svg.Axis([3, 700], 0, 100, log=True)
    equal("a scale of powers of ten", (axis.marks, axis.place(1), axis.place(1000)), ([1, 10, 100, 1000], 0, 100))
    axis = svg.Axis([20, 95], 0, 100)
    equal("a scale from zero", (axis.marks[0], axis.marks[-1], axis.place(50)), (0, 100, 50))
    equal("numbers", [svg.number(n) for n in (0, 0.5, 1000, 1234567, 2e9)], ["0", "0.5", "1k", "1.23M", "2G"])
    for name, text in (("lines", svg.lines("a & b", {"<x>": [(1, 2), (1000, 0)]}, "x", "y")),
                       ("bars", svg.bars("t", [("a", {"n": 3, "m": -1}), ("b", {"n": 0})], "%"))):
        equal(f"{name} are XML", xml.dom.minidom.parseString(text).documentElement.tagName, "svg")
    equal("the same bytes again", svg.bars("t", [("a", {"n": 3})], ""), svg.bars("t", [("a", {"n": 3})], ""))


def page(documents):
    with tempfile.TemporaryDirectory() as docs:
        files = [file_of(json.dumps(document)) for document in documents]
        pathlib.Path(docs, "pictures").mkdir()
        stale = pathlib.Path(docs, "pictures", "performance-old.svg")
        stale.write_text("")
        other = pathlib.Path(docs, "pictures", "other.svg")
        other.write_text("")
        pathlib.Path(docs, "performance").mkdir()
        pathlib.Path(docs, "performance", "foo.md").write_text("Because.\n")
        writer = report.Page(docs)
        machine, found = report.read(files)
        writer.write(machine, found)
        return (pathlib.Path(docs, "PERFORMANCE.md").read_text(), sorted(path.name for path in pathlib.Path(docs, "pictures").iterdir()))


def pages():
    document = {"benchmark": "foo", "hubs": 5, "rounds": {"quiet": {"p50_us": 7, "cpu_s": 0.25}, "loud": {"p50_us": 1234, "cpu_s": 1}},
                "targets": [{"what": "the thing", "value": 2.0, "limit": 1.5, "met": False},
                            {"what": "rate", "value": 4, "limit": 3, "at_least": True, "met": True}],
                "plots": [{"title": "P", "x": "hubs", "y": "s", "series": {"a": [[1, 2], [10, 3]]}}]}
    result = {"name": "foo", "seconds": 3, "passed": 4, "failed": 2, "document": document,
              "checks": [{"ok": False, "what": "the thing: at most 1.5 (2)", "detail": ""}, {"ok": False, "what": "a hub is lost", "detail": "hub-3 in /tmp/x.1/y and 1/2"}]}
    other = {"name": "bar", "seconds": 3, "passed": 1, "failed": 0, "document": None,
             "checks": [{"ok": True, "what": "bar at most 2 x foo (0.5 of it)", "detail": ""}]}
    text, pictures = page([result, other])
    for name, want in (("a missed target", "| foo | the thing | 2 | ≤ 1.5 | **missed** |"), ("a target that is met", "| foo | rate | 4 | ≥ 3 | met |"),
                       ("how many", "2 of 3 are met."), ("a check that speaks of a limit", "| bar | bar at most 2 x foo | 0.5 of it |  | met |"),
                       ("a table of what is alike", "| loud | 1,234 | 1 |"), ("its head", "|  | p50, us | cpu, s |"),
                       ("what stands alone", "| hubs | 5 |"), ("a failure that is no target", "- a hub is lost (hub-3 in ... and 1/2)"),
                       ("words", "Because."), ("counts", "`tests/bench/run.sh foo`: 4 checks passed, 2 failed.")):
        equal(f"the page has {name}", want in text, True)
    equal("a missed target is told once", text.count("the thing"), 1)
    equal("its plots, and no older ones", pictures, ["other.svg", "performance-foo-1.svg"])
    text, _ = page([{"benchmark": "all", "machine": {"processors": 3, "memory_gib": 9, "kernel": "K 1", "architecture": "a", "distribution": "D 2",
                                                     "software": {"S": "1"}}, "results": [other]}])
    equal("the machine of the document", "3 processors (a), 9 GiB of memory, K 1, D 2; S 1." in text, True)


for part in (figures, traces, results, plots, pages):
    part()
finish()
