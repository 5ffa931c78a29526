"""The broker as a child of a story that stops, kills or starts it in the middle."""

import ctypes
import os
import signal
import subprocess
import time


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a story that breaks off leaves nothing


class Broker:
    """One broker over $KT_TMP/mosquitto.conf; its log is appended to $KT_TMP/broker.log."""

    def __init__(self, scene):
        self.scene = scene
        self.process = None

    def start(self):
        """Returns when it serves and minds its signals: its last line of the start."""
        with open(self.scene.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [os.environ.get("KT_BROKER", "mosquitto"), "-c", self.scene.tmp + "/mosquitto.conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
                env=dict(os.environ, **({"LD_PRELOAD": os.environ["KT_PRELOAD"]} if "KT_PRELOAD" in os.environ else {})))
        if not self.scene.logged_since(begin, r"version .* running\n", 20):
            raise RuntimeError("the broker does not start: " + self.scene.log_from(begin)[-2000:])
        return self

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._wait(10)

    def kill(self):
        """As a power cut ends it."""
        self.process.kill()
        return self._wait(10)

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def restart(self):
        """For its state to be read again, and for a fresh allowance of log lines."""
        self.stop()
        return self.start()

    def _wait(self, seconds):
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
            time.sleep(0.01)
        return self.process.returncode
