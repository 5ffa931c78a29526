"""The story of test_packets.sh: packets that no client may send, made one by one."""

import socket
import struct

from broker import Broker
from mqtt5 import Client, Closed, Timeout, _packet, _text, _varint
from scene import Scene

PATIENCE = 5
AT_LEAST = 200

scene = Scene()
broker = Broker(scene).start()
hub = scene.new_hub("hub-1")

NUL, LONE, OVERLONG, LATIN = b"a\0b", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe4"


# --- packets

def connect(client_id=b"op:probe", level=5, name=b"MQTT", flags=2, properties=b"", will=b"", tail=b"", keep=60):
    return _packet(1, 0, _text(name) + bytes([level, flags]) + struct.pack("!H", keep) + _varint(len(properties))
                   + properties + _text(client_id) + will + tail)


def will(topic, payload=b"x", properties=b""):
    return _varint(len(properties)) + properties + _text(topic) + _text(payload)


def cut(packet):
    """Every beginning of its body, with a length that is right."""
    start = 2
    for size in range(len(packet) - start):
        yield _packet(packet[0] >> 4, packet[0] & 15, packet[start:start + size])


def subscribe(filters=None, packet_id=1, properties=b"", flags=2, options=1, raw=None):
    body = struct.pack("!H", packet_id) + _varint(len(properties)) + properties
    if raw is not None:
        return _packet(8, flags, body + raw)
    return _packet(8, flags, body + b"".join(_text(f) + bytes([options]) for f in filters))


def unsubscribe(filters, packet_id=1, flags=2):
    return _packet(10, flags, struct.pack("!H", packet_id) + b"\0" + b"".join(_text(f) for f in filters))


def publish(topic, packet_id=1, qos=1, properties=b"", payload=b"x", flags=0):
    middle = struct.pack("!H", packet_id) if qos else b""
    return _packet(3, qos << 1 | flags, _text(topic) + middle + _varint(len(properties)) + properties + payload)


def first_packets():
    """What may not be the first packet of a connection."""
    good = connect()
    for kind in range(16):
        if kind != 1:
            yield f"type {kind} before CONNECT", _packet(kind, 2 if kind in (6, 8, 10) else 0, b"\0\1\0")
    for flags in range(1, 16):
        yield f"CONNECT with flags {flags}", bytes([0x10 | flags]) + good[1:]
    for number, part in enumerate(cut(good)):
        yield f"CONNECT cut after {number} bytes", part
    for level in (0, 1, 2, 6, 7, 127, 255):
        yield f"protocol level {level}", connect(level=level)
    for name in (b"", b"MQTU", b"mqtt", b"MQTT\0", b"MQTTT", b"MQIsdq", b"HTTP", NUL, LATIN):
        yield f"protocol name {name!r}", connect(name=name)
    for flags in (3, 0x1a, 0x0a, 0x12, 0x22, 0x2a):
        yield f"connect flags {flags:#x}", connect(flags=flags)
    yield "will of QoS 3", connect(flags=0x1e, will=will(b"a"))
    for topic in (b"", b"#", b"a/#", b"+", b"a+", NUL, LONE, OVERLONG, LATIN):
        yield f"will to {topic!r}", connect(flags=6, will=will(topic))
    yield "will cut off", connect(flags=6, will=will(b"a")[:-1])
    for client_id in (NUL, LONE, OVERLONG, LATIN, b"\xf4\x90\x80\x80", b"\xfe", b"a\x01", b"a\x7f", b"a\xc2\x80"):
        yield f"client id {client_id!r}", connect(client_id)
        yield f"user name {client_id!r}", connect(flags=0x82, tail=_text(client_id))
    yield "user name cut off", connect(flags=0x82, tail=b"\0\5ab")
    yield "user name missing", connect(flags=0x82)
    yield "password missing", connect(flags=0xc2, tail=_text(b"u"))
    yield "more than there should be", connect(tail=b"x")
    for name, properties in (("unknown", b"\x7e\0"), ("of PUBLISH", b"\x01\x01"), ("of CONNACK", b"\x24\x01"),
                             ("session expiry twice", b"\x11\0\0\0\1\x11\0\0\0\1"), ("receive maximum 0", b"\x21\0\0"),
                             ("maximum packet size 0", b"\x27\0\0\0\0"), ("problem information 2", b"\x17\2"),
                             ("response information 2", b"\x19\2"),
                             ("cut off", b"\x11\0\0"), ("user property cut off", b"\x26\0\1a\0\5b"),
                             ("user property of Latin-1", b"\x26\0\1\xe4\0\1b")):
        yield f"CONNECT property {name}", connect(properties=properties)
    yield "properties longer than the packet", _packet(1, 0, _text("MQTT") + b"\5\2\0\x3c\x7f" + _text("x"))
    yield "length of five bytes", b"\x10\xff\xff\xff\xff\x01" + good[2:]
    yield "TLS to a plain socket", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def later_packets():
    """What a connected client may not send. True: some brokers let it pass, and nothing comes of it."""
    yield "a second CONNECT", connect(), False
    for kind in (0, 2, 9, 11, 13):
        yield f"type {kind} from a client", _packet(kind, 0, b"\0\1\0"), kind in (11, 13)
    for flags in (0, 1, 3, 15):
        yield f"SUBSCRIBE with flags {flags}", subscribe([b"a"], flags=flags), False
        yield f"UNSUBSCRIBE with flags {flags}", unsubscribe([b"a"], flags=flags), False
    for bad in (b"", b"a#", b"#a", b"a/#/b", b"a+", b"+a", b"a/+b", NUL, LONE, OVERLONG, LATIN):
        yield f"SUBSCRIBE to {bad!r}", subscribe([bad]), False
        yield f"UNSUBSCRIBE of {bad!r}", unsubscribe([bad]), False
    for bad in (b"$share", b"$share/", b"$share/g", b"$share//a", b"$share/+/a", b"$share/g/"):
        yield f"SUBSCRIBE to {bad!r}", subscribe([bad]), True
    yield "SUBSCRIBE without a filter", subscribe([]), False
    yield "UNSUBSCRIBE without a filter", unsubscribe([]), False
    yield "SUBSCRIBE with packet id 0", subscribe([b"a"], packet_id=0), False
    yield "UNSUBSCRIBE with packet id 0", unsubscribe([b"a"], packet_id=0), False
    for options in (3, 0x40, 0x80, 0xc0, 0x30):
        yield f"subscription options {options:#x}", subscribe([b"a"], options=options), False
    for name, properties in (("unknown", b"\x7e\0"), ("identifier 0", b"\x0b\0"), ("of CONNECT", b"\x11\0\0\0\1"),
                             ("cut off", b"\x26\0\1")):
        yield f"SUBSCRIBE property {name}", subscribe([b"a"], properties=properties), False
    for number, part in enumerate(cut(subscribe([b"abc"]))):
        yield f"SUBSCRIBE cut after {number} bytes", part, False
    yield "PUBLISH of QoS 3", publish(b"a", qos=3), False
    yield "PUBLISH with DUP and QoS 0", publish(b"a", qos=0, flags=8), True
    for bad in (b"#", b"+", b"a/#", b"a/+/b", b"", NUL, LONE, OVERLONG, LATIN):
        yield f"PUBLISH to {bad!r}", publish(bad), False
    yield "PUBLISH with packet id 0", publish(b"a", packet_id=0), False
    for name, properties in (("unknown", b"\x7e\0"), ("alias 0", b"\x23\0\0"), ("alias over the limit", b"\x23\xff\xff"),
                             ("of CONNECT", b"\x11\0\0\0\1"), ("expiry twice", b"\x02\0\0\0\1\x02\0\0\0\1"),
                             ("response topic with a wildcard", b"\x08\0\1#"), ("cut off", b"\x02\0\0"),
                             ("subscription identifier", b"\x0b\1")):
        yield f"PUBLISH property {name}", publish(b"a", properties=properties), name == "subscription identifier"
    for number, part in enumerate(cut(publish(b"abc"))):
        if number < 8:
            yield f"PUBLISH cut after {number} bytes", part, False
    for kind, name in ((4, "PUBACK"), (5, "PUBREC"), (7, "PUBCOMP")):
        yield f"{name} of nothing", _packet(kind, 0, b"\0\7"), True
        yield f"{name} with flags", _packet(kind, 5, b"\0\7"), True
        yield f"{name} without a packet id", _packet(kind, 0, b""), False
        yield f"{name} with half a packet id", _packet(kind, 0, b"\0"), False
    yield "PUBREL with flags 0", _packet(6, 0, b"\0\7"), False
    yield "PUBREL without a packet id", _packet(6, 2, b""), False
    yield "PINGREQ with flags", _packet(12, 1, b""), True
    yield "PINGREQ with a body", _packet(12, 0, b"x"), True
    yield "DISCONNECT with flags", _packet(14, 1, b""), False
    yield "DISCONNECT property unknown", _packet(14, 0, b"\0\2\x7e\0"), False
    yield "AUTH of a session without a method", _packet(15, 0, b"\x18\0"), False
    yield "AUTH with flags", _packet(15, 1, b"\x18\0"), False
    yield "length of five bytes", b"\x30\xff\xff\xff\xff\x01", False


# --- connections

def by_socket():
    client = Client(PATIENCE)
    client.unix(scene.socket)
    return client


def by_tls():
    client = Client(PATIENCE)
    client.tls(scene.port, scene.root, hub.path)
    return client


def by_claim():
    client = Client(PATIENCE)
    client.tls(scene.claim_port, scene.root)
    return client


def outcome(client, packet):
    """'ended', or what the broker said instead; 'silence' after all patience."""
    client.acks = {}
    try:
        client._send(packet)
        if packet[:4] == b"GET ":  # of the socket: TLS's own forgets its keys, and what comes is noise then
            socket.socket.shutdown(client.sock, socket.SHUT_WR)
        client._until(lambda: bool(client.acks) or client.connack is not None)
    except Closed:
        return "ended"
    except Timeout:
        return "silence"
    finally:
        client.close()
    return f"CONNACK {client.connack:#x}" if client.connack is not None else f"ack {client.acks}"


def is_refusal(client, result):
    return result == "ended" or (client.connack not in (None, 0))  # 1 is MQTT 3's


def watch():
    """A client that has nothing to do with any of it."""
    client = by_socket()
    assert client.connect("op:watch") == 0
    client.subscribe("keyturn/v1/events/#")
    return client


watcher = watch()
wrong, counts = [], {"first": 0, "tls": 0, "claim": 0, "later": 0, "passed over": 0}

for name, packet in first_packets():
    client = by_socket()
    result = outcome(client, packet)
    counts["first"] += 1
    if not is_refusal(client, result):
        wrong.append(f"{name}: {result}")
for number, (name, packet) in enumerate(first_packets()):
    if number % 4 == 0:  # the same on the others, where a handshake comes first
        client = by_tls() if number % 8 == 0 else by_claim()
        result = outcome(client, packet)
        counts["tls" if number % 8 == 0 else "claim"] += 1
        if not is_refusal(client, result):
            wrong.append(f"{name} over TLS: {result}")
for name, packet, may_pass in later_packets():
    client = by_socket()
    assert client.connect("op:probe") == 0
    client.connack = None
    client.acks = {}
    if may_pass:  # or it is refused by its answer, or nothing comes of it
        client._send(packet)
        try:
            client.ping()
            counts["passed over"] += 1
        except Closed:
            pass
        client.close()
        counts["later"] += 1
        continue
    result = outcome(client, packet)
    counts["later"] += 1
    refused_by_ack = result.startswith("ack") and all(code >= 0x80 for code in client.acks.values())
    if result != "ended" and not refused_by_ack:
        wrong.append(f"{name}: {result}")

total = counts["first"] + counts["tls"] + counts["claim"] + counts["later"]
print(f"{total} malformed packets: {counts}", flush=True)
scene.check("each malformed packet is refused, and nothing comes of it", not wrong, "\n    ".join(wrong))
scene.check(f"there were {AT_LEAST} of them at the least", total >= AT_LEAST, str(total))
watcher.ping()
scene.check("a client that stood beside it is still there", watcher.disconnect_reason is None)
scene.equal("the plugin answers", scene.operator({"command": "status"})[0]["command"], "status")
agent = scene.agent("hub-1", hub)
scene.check("a hub comes in", agent is not None)
agent.disconnect()
scene.check("the broker is the one that was started", broker.is_running())
scene.equal("and ends as it should", broker.stop(), 0)
scene.finish()
