"""The story of test_metrics.sh."""

import os
import re
import shutil
import time

from broker import Broker
from scene import Scene

scene = Scene()
FILE = scene.tmp + "/metrics/keyturn.prom"
SAMPLE = re.compile(r'(keyturn_[a-z_]+)(?:\{([a-z]+="[A-Za-z0-9._+-]+"(?:,[a-z]+="[A-Za-z0-9._+-]+")*)\})? (-?[0-9]+)')
PATIENCE = 30   # the file is written every 15 seconds
broker = Broker(scene)


def read():
    """Samples by name and labels; types by name. A line that is none breaks the story off."""
    samples, types = {}, {}
    with open(FILE) as file:
        text = file.read()
    assert text.endswith("\n"), "the last line is not whole"
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"two types: {name}"
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            key = (match[1], match[2] or "")
            assert key not in samples, f"twice: {line}"
            assert re.sub("_(bucket|sum|count)$", "", match[1]) in types or match[1] in types, f"no type before: {line}"
            samples[key] = int(match[3])
    return samples, types


def wait_for(name, is_so):
    """A file of which this holds."""
    deadline, samples = time.monotonic() + PATIENCE, {}
    while time.monotonic() < deadline:
        if os.path.exists(FILE):
            samples, _ = read()
            if is_so(samples):
                break
        time.sleep(0.1)
    scene.check(name, bool(samples) and is_so(samples), samples)
    return samples


broker.start()
first = wait_for("the file is there", lambda s: ("keyturn_devices", "") in s)
scene.equal("everybody may read it", oct(os.stat(FILE).st_mode & 0o777), "0o644")
scene.equal("no device yet", (first["keyturn_devices", ""], first["keyturn_ledger_failed", ""]), (0, 0))
_, types = read()
scene.equal("types", {name: types.get("keyturn_" + name) for name in ("devices", "key_age_seconds", "refusals_total", "campaign_devices")},
            {"devices": "gauge", "key_age_seconds": "histogram", "refusals_total": "counter", "campaign_devices": "gauge"})

hub = scene.new_hub("hub-1")
other = scene.new_hub("hub-2")
scene.command("revoke", device="hub-2", emergency=True)
scene.connect_code("hub-2:agent", other.path)
agent = scene.agent("hub-1", hub)
scene.command("beginCampaign", campaign="roll", action="rotate", devices=["hub-1"], plan=["canary=1"])
agent.expect("rotate")
seen = wait_for("hubs, a refusal, a campaign", lambda s: ("keyturn_campaign_devices", 'campaign="roll",state="ordered"') in s and
                ("keyturn_key_age_seconds_count", "") in s and s["keyturn_key_age_seconds_count", ""] > 0)
status = scene.command("status")
scene.equal("devices by state", (seen["keyturn_devices", ""], seen["keyturn_devices_in", 'state="active"'],
                                 seen["keyturn_devices_in", 'state="revoked"'], seen["keyturn_operations_open", ""]), (2, 1, 1, 1))
scene.equal("the ledger", seen["keyturn_ledger_records", ""], int(status["durableSeq"]))
scene.equal("the refusal, by its reason", seen.get(("keyturn_refusals_total", 'reason="cert.revoked"')), 1)
scene.equal("what happened", (seen.get(("keyturn_events_total", 'event="device.enrolled"')),
                              seen.get(("keyturn_events_total", 'event="device.revoked"')),
                              seen.get(("keyturn_events_total", 'event="rotation.opened"'))), (2, 1, 1))
scene.equal("the campaign", [seen["keyturn_campaign_devices", f'campaign="roll",state="{state}"'] for state in ("waiting", "ordered", "done")],
            [0, 1, 0])
scene.equal("one key in force, less than a day old, with a month left",
            [seen[f"keyturn_key_{what}_seconds_bucket", f'le="{end}"'] for what, end in
             (("age", 86400), ("age", "+Inf"), ("left", 604800), ("left", 2592000), ("left", "+Inf"))], [1, 1, 0, 1, 1])

start = scene.log_size()
shutil.rmtree(scene.tmp + "/metrics")
scene.check("a directory that is gone is told", scene.logged_since(start, r"event=metrics\.failed ", PATIENCE))
os.mkdir(scene.tmp + "/metrics")
wait_for("and it goes on when it is back", lambda s: ("keyturn_devices", "") in s)
scene.equal("the broker ends as it should", broker.stop(), 0)
scene.finish()
