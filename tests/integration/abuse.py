"""The story of test_abuse.sh."""

import re
import sys

from device import DEV_TOPIC, Device
from mqtt5 import Timeout
from scene import Scene

scene = Scene()


def lines(event, start=0):
    return re.findall(rf"(?m)event={re.escape(event)}(?: .*)?$", scene.log_from(start))


def refused_for_its_rate():
    return int(scene.command("status")["refusals"].get("msg.rate", 0))


def refused():
    strangers = [f"{scene.tmp}/strangers/{i}.pem" for i in range(3)]
    start = scene.log_size()
    for _ in range(20):
        for i, stranger in enumerate(strangers):
            code = scene.connect_code(f"bench-{i}:agent", stranger)
            if code != scene.code_of("cert.unknown"):
                scene.equal("a certificate that the registry does not hold is refused", code, "refused")
    written = len(lines("client.refused", start))
    scene.check("of 60 refusals some lines are there, and not all", 20 <= written < 60, written)
    scene.check("how many were left out is told within a while, without another one",
                scene.logged_since(start, r"event=log\.dropped of=client\.refused count=", timeout=30))
    dropped = sum(int(n) for n in re.findall(r"(?:dropped|of=client\.refused count)=(\d+)", scene.log_from(start)))
    scene.equal("lines and what was left out are 60", written + dropped, 60)
    scene.equal("status has counted all", int(scene.command("status")["refusals"]["cert.unknown"]), 60)


def floods():
    rogue, good = scene.new_hub("hub-rogue"), scene.new_hub("hub-good")
    flood = scene.agent("hub-rogue", rogue)
    start = scene.log_size()
    for _ in range(60):
        flood.publish(DEV_TOPIC, "x")
    told = [flood.expect("reject", timeout=60)]
    while told[-1]["retry_s"] == 0:  # the others are about what it said
        told.append(flood.expect("reject", timeout=60))
    try:
        while True:
            told.append(flood.expect("reject", timeout=1))
    except Timeout:
        pass
    # whether its rate or its place in the queue is used up first is the workers' business
    times = [(m["reason"], m["retry_s"]) for m in told if m["retry_s"] > 0]
    scene.check("who floods is told once, and when to come back", times in ([("msg.rate", 2)], [("busy", 5)]), times)
    scene.check("and no signature is spent on the rest", len(told) <= 12, [m["reason"] for m in told])
    scene.event_since("in the log, too", start, "message.refused", "reason=msg.rate", "client=hub-rogue:agent")

    for _ in range(1000):
        flood.publish(DEV_TOPIC, "x")
    good = scene.rotated("hub-good", good)
    scene.equal("another hub rotates meanwhile", scene.command("getDevice", device="hub-good")["current"]["fp"],
                good.fingerprint)
    before = refused_for_its_rate()
    scene.check("most of what it sends is dropped", before > 900, before)
    for _ in range(8):
        again = Device(scene, "hub-rogue", rogue)
        assert again.open("agent") == 0
        for _ in range(10):  # what a session may send at once
            again.publish(DEV_TOPIC, "x")
    counted = refused_for_its_rate() - before
    scene.check("to connect again is no way round it", counted >= 20, f"{counted} of 80")
    scene.check("the hub that flooded is still in session", scene.command("getDevice", device="hub-rogue")["sessions"])


{"refused": refused, "floods": floods}[sys.argv[1]]()
scene.finish()
