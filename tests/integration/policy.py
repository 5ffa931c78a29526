"""The story of test_policy.sh."""

import os
import re
import subprocess

from broker import Broker
from scene import Scene

scene = Scene()
POLICY = scene.tmp + "/policy.conf"
broker = Broker(scene)


def policy(text):
    with open(POLICY, "w") as out:
        out.write(text)
    os.chmod(POLICY, 0o600)


def hang_up(event, *words):
    start = scene.log_size()
    broker.hup()
    scene.event_since(f"SIGHUP: {event} {' '.join(words)}", start, event, *words)
    return start


def refuses_to_start(name, text):
    """The broker ends by itself, and the log has this."""
    start = scene.log_size()
    with open(scene.log, "ab") as log:
        done = subprocess.run([os.environ.get("KT_BROKER", "mosquitto"), "-c", scene.tmp + "/mosquitto.conf"], stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log, timeout=30, check=False,
                              env=dict(os.environ, **({"LD_PRELOAD": os.environ["KT_PRELOAD"]} if "KT_PRELOAD" in os.environ else {})))
    scene.check(f"{name}: the broker does not start", done.returncode != 0, done.returncode)
    scene.check(f"{name}: file and line are named", text in scene.log_from(start), scene.log_from(start)[-800:])


open(scene.log, "ab").close()
refuses_to_start("no file", POLICY)
policy("[default]\nmax_key_age = 30 days\n")
refuses_to_start("a mistake", POLICY + ":2: max_key_age is not a duration")
policy("[group north]\nmax_key_age = 4s\n")
os.chmod(POLICY, 0o666)
refuses_to_start("a file that others may write", POLICY)

policy("[group north]\nmax_key_age = 4s\n")
broker.start()
hubs = {name: scene.new_hub(name) for name in ("hub-1", "hub-2", "hub-3")}
scene.command("setDevice", device="hub-1", group="north")
agents = {name: scene.agent(name, hub) for name, hub in hubs.items()}
scene.equal("the group's hub is rotated by its age", agents["hub-1"].expect("rotate")["type"], "rotate")
scene.equal("the others are not", [scene.command("getDevice", device=name)["phase"] for name in ("hub-2", "hub-3")], ["idle", "idle"])
scene.command("cancel", device="hub-1")

# a file with an error changes nothing
start = scene.log_size()
policy("[fleet]\nrotations_per_minute = 1\n[group north]\nmax_key_age = 0\n[group north]\n")
hang_up("config.refused", "in_force=\"as before\"")
scene.check("the line is named", POLICY + ":5: the group north has a section already" in scene.log_from(start), scene.log_from(start)[-800:])
scene.event_since("the group's age holds still: it is ordered again", start, "rotation.opened", "device=hub-1")
scene.command("cancel", device="hub-1")

# and a good one all it says
policy("[fleet]\nrotations_per_minute = 1\n[default]\nmax_key_age = 1s\n[group north]\nmax_key_age = 0\n")
start = hang_up("policies.reloaded", "changed=yes", "groups=1")
scene.check("one of the others is ordered", scene.logged_since(start, r"event=rotation.opened device=hub-[23] ", 10))
scene.check("the group's hub is not", "event=rotation.opened device=hub-1" not in scene.log_from(start), scene.log_from(start)[-800:])
ordered = re.search(r"event=rotation.opened device=(hub-[23]) ", scene.log_from(start)).group(1)
other = "hub-2" if ordered == "hub-3" else "hub-3"
again = scene.agent(other, hubs[other], former=agents[other])  # whoever says hello is looked at then
scene.equal("the fleet's ceiling: no other one in this minute", (again.welcome["next"], scene.log_from(start).count("event=rotation.opened")),
            ("none", 1))
hang_up("policies.reloaded", "changed=no")
scene.equal("the broker ends as it should", broker.stop(), 0)
scene.finish()
