"""Are the benchmarks' figures what they are called? Ends with "N passed, N failed"."""

import os
import struct
import time

from counted import equal, file_of, finish
from figures import percentile
from grind import inclusive_of, is_measured, thread_of, total_of
from measure import Used, rounded, threads_ns

# Two calls from the broker into the plugin (1000, 200), one from the plugin into itself (700) and one back into the
# broker (50), which are within the first; then one from the broker into itself, which has no cob= line.
GRIND = """# callgrind format
version: 1
pid: 1
part: 1
thread: 1

desc: Trigger: Client Request: measured
positions: line
events: Ir
summary: 5000

ob=(1) /usr/sbin/mosquitto
fl=(1) a.c
fn=(1) loop
10 300
cob=(2) /build/mosquitto_keyturn.so
cfi=(2) b.c
cfn=(2) on_tick
calls=3 20
10 1000
cfn=(3) other
calls=1 30
11 900
cob=(2)
cfn=(4) on_acl
calls=1 40
12 200

ob=(2)
fl=(2)
fn=(2)
20 150
cfn=(5) inner
calls=1 50
21 700
cob=(1)
cfn=(6) publish
calls=1 60
22 50

totals: 5000
"""

path = file_of(GRIND)
equal("what leads into the plugin is its own, whatever it calls", inclusive_of(path, "mosquitto_keyturn.so"), 1200)
equal("what leads into another object", inclusive_of(path, "mosquitto"), 50)
equal("an object that is not there", inclusive_of(path, "nothing.so"), 0)
equal("totals", total_of(path), 5000)
equal("the first thread, of the dump that was asked for", (thread_of(path), is_measured(path)), (1, True))
os.unlink(path)
path = file_of(GRIND.replace("Client Request: measured", "Program termination").replace("thread: 1", "thread: 2"))
equal("another thread, of another dump", (thread_of(path), is_measured(path)), (2, False))
os.unlink(path)

used, until = Used(os.getpid()), time.process_time() + 0.2
while time.process_time() < until:
    pass
us = used.total_us()
equal("processor time is counted", 150000 < us < 2000000, True)
used = Used(os.getpid())
time.sleep(0.2)
equal("and sleep is not", used.total_us() < 100000, True)
equal("the first thread is the broker's", "broker" in threads_ns(os.getpid()), True)

equal("p99 of 1 to 1000 is 990", percentile(list(range(1000, 0, -1)), 99), 990)
equal("p99 of ten is the largest", percentile(list(range(10)), 99), 9)
equal("p50 of one is that one", percentile([7], 50), 7)
equal("a document is rounded all through", rounded({"a": [1.23456, {"b": 2.0004}], "c": "x", "d": 3}),
      {"a": [1.235, {"b": 2.0}], "c": "x", "d": 3})

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench_hold.c")) as source:
    members = source.read().split("struct hold {")[1].split("};")[0].count("uint64_t")
equal("bench_hold's counters are as stall.py reads them", struct.calcsize(f"{members}Q"), 48)

finish()
