"""The part of test_ctl.sh that needs hubs: keyturnctl and what a hub hears of it."""

import json
import os
import pty
import subprocess

from device import Device, key_id, new_key
from mqtt5 import Closed
from scene import Scene

scene = Scene()
CTL = [os.environ["KT_BUILD"] + "/keyturnctl", "--unix", scene.socket]


def start(*words, **streams):
    return subprocess.Popen(CTL + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **streams)


def end(name, run, code, out=None, err=None):
    """Exit code, output and complaint, exactly; returns the output."""
    got_out, got_err = run.communicate(timeout=30)
    want = (code, got_out if out is None else out, got_err if err is None else err)
    scene.equal(name, (run.returncode, got_out, got_err), want)
    return got_out


def ctl(name, words, code=0, out=None, err=None):
    return end(name, start(*words.split()), code, out, err)


def read_or_end(terminal):
    """The terminal hands on in pieces; its end, when nobody has the other side open, is an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def at_a_terminal(words, typed):
    """What a person types; exit code and what he saw."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(CTL + words.split(), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True) as run:
        os.close(theirs)
        os.write(ours, typed.encode())
        out, _ = run.communicate(timeout=30)
    seen = b""
    while chunk := read_or_end(ours):
        seen += chunk
    os.close(ours)
    return run.returncode, out, seen.decode()


def waiting():
    """A key that waits for approval."""
    key = new_key()
    claim = Device(scene, "")
    claim.open_claim(scene.port, scene.tmp + "/claim.pem")
    claim.enroll(key)
    claim.expect("pending")
    claim.disconnect()
    return key_id(key)


hub = scene.new_hub("real-1")
agent = scene.agent("real-1", hub)

# --- challenges

run = start("challenge", "real-1", "--wait")
challenge = agent.expect("challenge")
agent.send("answer", nonce=challenge["nonce"], fp=hub.fingerprint,
           report=dict(agent="probe", store="file", generation="1", phase="stable"))
end("a challenge that is answered", run, 0, "real-1: answered, generation 1\n", "")
run = start("challenge", "real-1", "hub-1", "--wait")
agent.expect("challenge")
out, err = run.communicate(timeout=30)
scene.equal("one that is not, beside one that could not be sent", (run.returncode, out), (5, ""))
scene.check("names both", "keyturnctl: real-1: did not answer\n" in err and "keyturnctl: hub-1: state" in err, err)
agent.disconnect()
agent = scene.agent("real-1", hub)
run = start("challenge", "real-1", "--wait", "--timeout", "1s")
agent.expect("challenge")
end("one that is not waited for to its end", run, 4, "",
    "keyturnctl: the outcome: nothing within 1 s\nkeyturnctl: real-1: no outcome\n")

# --- what a hub shows

shown = ctl("a hub that is there", "show real-1")
scene.check("has its session on one line", "\nsessions               clientId=real-1:agent kind=agent address=127.0.0.1" in shown,
            shown)
scene.check("and its certificate", f"\ncurrent.fp             {hub.fingerprint}\n" in shown, shown)
listed = ctl("it is the only active one", "list --state active").splitlines()
scene.equal("in two lines", [line.split()[:5] for line in listed],
            [["DEVICE", "STATE", "PHASE", "GEN", "ONLINE"], ["real-1", "active", "idle", "1", "yes"]])

# --- rotations

agent.disconnect()
agent = scene.agent("real-1", hub)
text = ctl("a rotation", "rotate real-1", err="")
op = agent.expect("rotate")["op"]
scene.equal("tells the op that the hub hears", text, f"real-1: rotation ordered, op {op}\n")
ctl("it can be cancelled", "cancel real-1", 0, "real-1: cancelled\n", "")
scene.equal("and the hub hears that", agent.reject_reason(), "op.closed")
run = start("rotate", "--all", "--expect", "2")
out, err = run.communicate(timeout=30)
scene.equal("all, but more than there are", (run.returncode, out, err.startswith("keyturnctl: expect: ")), (1, "", True))
scene.check("changes nothing", agent.silence(0.2))
run = start("--json", "rotate", "real-1", "hub-1")
out, err = run.communicate(timeout=30)
rows = json.loads(out)["devices"]
scene.equal("half a rotation", (run.returncode, [sorted(r) for r in rows], err),
            (1, [["device", "op"], ["device", "error"]], f"keyturnctl: hub-1: {rows[1].get('error')}\n"))
scene.equal("does the other half", agent.expect("rotate")["op"], rows[0].get("op"))
ctl("that, too", "cancel real-1", 0, "real-1: cancelled\n", "")
agent.reject_reason()

# --- many at once

ctl("labels and a group", "set real-1 hub-1 --group north --label batch:7,site:berlin", 0, "real-1: set\nhub-1: set\n", "")
ctl("some of them end", "set label=site:berlin --unlabel batch:7 --expect 1", 0, "real-1: set\n", "")
listed = ctl("a list of whom a selector means", "list group=north").splitlines()[1:]
scene.equal("in the order of their making", [(row.split()[0], row.split()[-2:]) for row in listed],
            [("hub-1", ["north", "batch:7,site:berlin"]), ("real-1", ["north", "site:berlin"])])
ctl("commands mean active ones", "rotate group=north --dry-run", 0, "real-1\n", "keyturnctl: 1 device, nothing was done\n")
ctl("or those of the state that is said", "cancel label=batch:7 state=new --dry-run", 0, "hub-1\n",
    "keyturnctl: 1 device, nothing was done\n")
ctl("nobody asks for what is not old", "rotate older-than=1h --dry-run", 0, "", "keyturnctl: 0 devices, nothing was done\n")
ctl("its agent has told its version", "rotate agent-version<999 --dry-run", 0, "real-1\n",
    "keyturnctl: 1 device, nothing was done\n")
ctl("which is not so old", "rotate agent-version<0.0.1 --dry-run", 0, "", "keyturnctl: 0 devices, nothing was done\n")
scene.check("none of it changes anything", agent.silence(0.2))
text = ctl("a rotation of whom a selector means", "rotate group=north label=site:berlin --yes", err="")
op = agent.expect("rotate")["op"]
scene.equal("reaches the hub", text, f"real-1: rotation ordered, op {op}\n")
ctl("and its end, too", "cancel group=north --expect 1", 0, "real-1: cancelled\n", "")
agent.reject_reason()
run = start("rotate", "group=north", "--expect", "2")
out, err = run.communicate(timeout=30)
scene.equal("another number than there are", (run.returncode, out, err.startswith("keyturnctl: expect: ")), (1, "", True))
scene.check("is refused as a whole", agent.silence(0.2))
scene.equal("asked for their number", at_a_terminal("quarantine label=site:berlin", "2\n")[0], 2)
code, out, seen = at_a_terminal("quarantine label=site:berlin", "1\n")
scene.equal("who says it gets it", (code, out), (0, "real-1: quarantined\n"))
scene.check("and has been told how many there are", "This quarantines all selected devices: 1." in seen, seen)
ctl("as state= says", "release state=quarantined --yes", 0, "real-1: released\n", "")

# --- campaigns

ctl("none yet", "campaign list", 0,
    "CAMPAIGN  STATE  DEVICES  DONE  FAILED  SILENT  ORDERED  WAITING  BEGAN\n", "")
ctl("who would be in one", "campaign begin roll rotate group=north canary=1 --dry-run", 0, "real-1\n",
    "keyturnctl: 1 device, 1 of them first, then 1 at a step; nothing was done\n")
ctl("a plan that cannot be", "campaign begin roll rotate group=north canary=0", 2, "")
ctl("a word of nothing", "campaign begin roll rotate group=north speed=3", 2, "")
ctl("an action that is none", "campaign begin roll wipe group=north", 2, "", "keyturnctl: 'wipe' is neither rotate nor challenge\n")
ctl("nobody is named", "campaign begin roll rotate canary=1", 2, "",
    "keyturnctl: campaign begin: name devices, or give a selector, or --all\n")
ctl("nobody can be asked", "campaign begin roll rotate group=north", 2, "",
    "keyturnctl: a selector needs --expect: say how many devices you mean, or --yes: as many as there are\n")
run = start("campaign", "begin", "roll", "rotate", "group=north", "--expect", "7")
out, err = run.communicate(timeout=30)
scene.equal("a number that is not theirs", (run.returncode, out, err.startswith("keyturnctl: roll: expect: ")), (1, "", True))
run = start("campaign", "begin", "roll", "rotate", "group=nowhere", "--yes")
out, err = run.communicate(timeout=30)
scene.equal("nobody is meant", (run.returncode, out, err.startswith("keyturnctl: roll: not.found: ")), (1, "", True))
ctl("a campaign of one", "campaign begin roll rotate group=north canary=1 hold=0 --note spring --expect 1", 0,
    "roll: begun over 1 device, 1 of them first, then 1 at a step\n", "")
op = agent.expect("rotate")["op"]
run = start("campaign", "begin", "roll", "challenge", "--all", "--yes")
out, err = run.communicate(timeout=30)
scene.equal("its name is taken", (run.returncode, out, err.startswith("keyturnctl: roll: exists: ")), (1, "", True))
row = json.loads(ctl("as the plugin says it", "--json campaign list", err=""))["campaigns"][0]
scene.equal("it is under way", (row["campaign"], row["action"], row["state"], row["select"], row["note"], row["counts"]["ordered"]),
            ("roll", "rotate", "running", "group=north", "spring", 1))
ctl("it rests", "campaign pause roll", 0, "roll: done\n", "")
shown = ctl("and can be looked at", "campaign show roll", err="").splitlines()
scene.equal("with its devices", (["state", "paused"] in [line.split() for line in shown], shown[-1].split()[:4]),
            (True, ["real-1", "ordered", "-", "1"]))
ctl("of one state", "campaign show roll --state waiting", err="")
run = start("campaign", "show", "roll", "--state", "well")
out, err = run.communicate(timeout=30)
scene.equal("a state that is none", (run.returncode, out, err.startswith("keyturnctl: roll: json.field: ")), (1, "", True))
ctl("it goes on", "campaign resume roll", 0, "roll: done\n", "")
ctl("nobody ends it by a slip", "campaign abort roll", 2, "",
    "keyturnctl: campaign cannot be undone, and nobody can be asked here: give --yes\n")
ctl("but who means it", "campaign abort roll --yes --note wrong", 0, "roll: done\n", "")
ctl("the hub's operation is its own", "cancel real-1", 0, "real-1: cancelled\n", "")
scene.equal("and is cancelled", agent.reject_reason(), "op.closed")
scene.event_since("it has ended, with nobody under way", 0, "campaign.ended", "campaign=roll", "skipped=1")
run = start("campaign", "resume", "roll")
out, err = run.communicate(timeout=30)
scene.equal("for good", (run.returncode, out, err.startswith("keyturnctl: roll: state: ")), (1, "", True))
run = start("campaign", "show", "spring")
out, err = run.communicate(timeout=30)
scene.equal("one that nobody knows", (run.returncode, out, err.startswith("keyturnctl: spring: not.found: ")), (1, "", True))
ctl("too many words", "campaign pause roll now", 2, "", "keyturnctl: usage: keyturnctl campaign pause NAME\n")
ctl("what another one takes", "campaign pause roll --state done", 2, "", "keyturnctl: campaign pause does not take --state\n")

# --- a policy file

CONFIG = ["--config", scene.tmp + "/keyturn.conf"]
POLICY = scene.tmp + "/policy.conf"
with open(POLICY, "w") as file:
    file.write("[fleet]\nrotations_per_minute = 60\n[default]\nmax_key_age = 30d\n[group north]\nquiet_hours = 22:00-06:00\n")
end("a policy", start("policy", "check", POLICY, *CONFIG), 0,
    "rotations_per_minute: 60\ndefault: max_key_age 2592000s, rotate_at 90%, jitter 10%, quiet_hours none\n"
    "group north: max_key_age 2592000s, rotate_at 90%, jitter 10%, quiet_hours 22:00-06:00\n", "")
with open(POLICY, "a") as file:
    file.write("rotate_at = 5%\n")
end("with a mistake", start("policy", "check", POLICY, *CONFIG), 5, "",
    f"keyturnctl: {POLICY}:7: rotate_at is out of range (10% to 100%)\n")
end("none is named", start("policy", "check", *CONFIG), 2, "", "keyturnctl: the configuration names no policy_file: give a file\n")
end("and none is there", start("policy", "check", "/nonexistent", *CONFIG), 6, "")

# --- keys that wait

key = waiting()
rows = ctl("a key that waits", "pending", err="").splitlines()
scene.equal("is listed", (rows[0].split()[:2], [r.split()[0] for r in rows[1:]]), (["KEY", "ID"], [key]))
ctl("and approved", f"approve {key} real-2", 0, "real-2: approved\n", "")
key = waiting()
ctl("another is refused", f"deny {key}", 0, f"{key}: denied\n", "")
ctl("nobody waits", "--json pending", 0, '{"pending":[],"total":0}\n', "")

# --- one event

mark = scene.log_size()
run = start("--json", "events")
scene.check("somebody watches", scene.logged_since(mark, r"keyturn/v1/events/# \(QoS"))
ctl("something happens", "create-device real-3", 0, "real-3: created\n", "")
event = json.loads(end("he sees one event", run, 0, None, ""))
scene.check("as it is", event["event"] in ("device.created", "command.done") and event["device"] == "real-3", event)
ctl("nothing happens", "events --timeout 1s", 4, "", "keyturnctl: events: nothing within 1 s\n")

# --- who is asked

code, out, seen = at_a_terminal("revoke real-1", "real-2\n")
scene.equal("another id is no consent", (code, out), (2, ""))
scene.check("the question names the device", "This revokes real-1. To go on, type its id once more:" in seen, seen)
scene.check("and nothing is done", agent.silence(0.2))
code, out, seen = at_a_terminal("delete-device real-2 real-3", "3\n")
scene.equal("nor is another number", (code, out), (2, ""))
code, out, seen = at_a_terminal("revoke real-1", "real-1\n")
scene.equal("its id is", (code, out), (0, "real-1: revoked\n"))
try:
    while True:
        agent.expect(timeout=5)
except Closed:
    scene.check("the hub's session ends", True)
scene.finish()
