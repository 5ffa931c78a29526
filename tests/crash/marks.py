"""What somebody else got to read: MQTT PUBLISH packets out of a log of crash_shim, with what they say."""

import base64
import json


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Marks:
    """Joins what goes into each connection; a call gives the messages that are whole with this entry."""

    def __init__(self):
        self.streams = {}

    def __call__(self, entry):
        if entry["kind"] == "start":  # another process
            self.streams = {}
            return []
        if entry["kind"] == "close":
            self.streams.pop(("fd", entry["fd"]), None)
            return []
        where = ("fd", entry["fd"]) if entry["kind"] == "send" else ("tls", entry["offset"])
        data = self.streams.get(where, b"") + entry["data"]
        found = []
        while True:
            packet, data = _packet(data)
            if packet is None:
                break
            if packet[0] >> 4 == 3:
                found.append(_message(packet[0], packet[1]))
        self.streams[where] = data
        return [message for message in found if message is not None]


def _packet(data):
    """((first byte, body), rest), or (None, data) where it is not whole."""
    length = shift = 0
    for index in range(1, min(5, len(data))):
        length |= (data[index] & 127) << shift
        shift += 7
        if data[index] < 128:
            end = index + 1 + length
            return ((data[0], data[index + 1:end]), data[end:]) if len(data) >= end else (None, data)
    return None, data


def _message(head, body):
    """{"topic", and the payload's members}; None for what is not ours."""
    size = int.from_bytes(body[:2], "big")
    topic, rest = body[2:2 + size].decode(), body[2 + size:]
    if head & 6:
        rest = rest[2:]
    properties = rest[0]  # short in all that is sent here
    try:
        payload = json.loads(rest[1 + properties:])
    except ValueError:
        return None
    if "payload" in payload:
        payload = json.loads(unb64u(payload["payload"]))
    return dict(payload, topic=topic)
