"""A bare MQTT 5 client for the stories: what a well-behaved library would not send, too.

Blocking, one connection per object, every wait with a deadline. Shares no code with Keyturn.
"""

import ctypes
import socket
import ssl
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


class Closed(Exception):
    """The broker closed the connection (or TLS refused it)."""


class Timeout(Exception):
    """Nothing came in time."""


def _text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("!H", len(raw)) + raw


def _varint(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def _packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + _varint(len(body)) + body


class Client:
    """One connection. connack, disconnect_reason: reason codes, None before they came;
    session_present: what the CONNACK said of an earlier session.

    source: address to connect from, "" for any. patience: seconds, where none are given.
    """

    patience = 10

    def __init__(self, timeout=None):
        self.timeout = timeout or self.patience
        self.sock = None
        self.buffer = b""
        self.connack = None
        self.session_present = None
        self.disconnect_reason = None
        self.messages = []
        self.packet_id = 0
        self.source = ""
        self.session = None

    # --- transports

    def tcp(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), self.timeout, (self.source, 0))

    def unix(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(path)

    def tls(self, port, cafile, identity=None, session=None, context=None):
        """identity: PEM file with chain and key. session, context: of an earlier connection, to resume."""
        if context is None:
            context = ssl.create_default_context(cafile=cafile)
            context.check_hostname = True
            if identity:
                context.load_cert_chain(identity)
        self.context = context
        raw = socket.create_connection(("127.0.0.1", port), self.timeout, (self.source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = context.wrap_socket(raw, server_hostname="localhost", session=session)
        except (ssl.SSLError, OSError) as error:
            raw.close()
            raise Closed(str(error)) from error

    # --- packets out

    def _send(self, data):
        try:
            self.sock.sendall(data)
        except (ssl.SSLError, OSError) as error:
            # OpenSSL 3.5 keeps it, Python does not clear it, and the next read of any other connection would say it
            ctypes.CDLL("libcrypto.so.3").ERR_clear_error()
            raise Closed(str(error)) from error

    def connect(self, client_id, username=None, password=None, clean=True, will=None, auth_method=None,
                expiry=None, keep_alive=60, level=5):
        """Returns the CONNACK reason code; raises Closed where the broker hangs up instead.

        level 4: MQTT 3.1.1, for this packet and its answer alone.
        """
        flags = 2 if clean else 0
        properties = b""
        if auth_method is not None:
            properties += b"\x15" + _text(auth_method)
        if expiry is not None:
            properties += b"\x11" + struct.pack("!I", expiry)
        payload = _text(client_id)
        if will is not None:
            topic, message = will
            flags |= 4 | 1 << 3
            payload += _varint(0) + _text(topic) + _text(message)
        if username is not None:
            flags |= 128
            payload += _text(username)
        if password is not None:
            flags |= 64
            payload += _text(password)
        block = _varint(len(properties)) + properties if level == 5 else b""
        self._send(_packet(CONNECT, 0, _text("MQTT") + bytes([level, flags]) + struct.pack("!H", keep_alive) + block + payload))
        self._until(lambda: self.connack is not None)
        return self.connack

    def publish(self, topic, payload, retain=False):
        """QoS 1; returns the PUBACK reason code."""
        self.packet_id += 1
        mine = self.packet_id
        raw = payload if isinstance(payload, bytes) else payload.encode()
        self.acks = {}
        self._send(_packet(PUBLISH, 2 | (1 if retain else 0),
                           _text(topic) + struct.pack("!H", mine) + _varint(0) + raw))
        self._until(lambda: mine in self.acks)
        return self.acks[mine]

    def publish_together(self, topic, payloads):
        """QoS 1, all of them in one write."""
        first, packets = self.packet_id + 1, b""
        self.acks = {}
        for payload in payloads:
            self.packet_id += 1
            packets += _packet(PUBLISH, 2, _text(topic) + struct.pack("!H", self.packet_id) + _varint(0) + payload.encode())
        self._send(packets)
        self._until(lambda: all(n in self.acks for n in range(first, self.packet_id + 1)))

    def subscribe(self, topic_filter):
        """Returns the SUBACK reason code."""
        self.packet_id += 1
        mine = self.packet_id
        self.acks = {}
        self._send(_packet(SUBSCRIBE, 2, struct.pack("!H", mine) + _varint(0) + _text(topic_filter) + b"\x01"))
        self._until(lambda: mine in self.acks)
        return self.acks[mine]

    def ping(self):
        """Whatever the broker had for this client before has come when it returns."""
        self.has_pong = False
        self._send(_packet(PINGREQ, 0, b""))
        self._until(lambda: self.has_pong)

    def disconnect(self, reason=0):
        try:
            self._send(_packet(DISCONNECT, 0, bytes([reason, 0]) if reason else b""))
        except Closed:
            pass
        self.close()

    def close(self):
        """Cuts the connection without a word: the broker sends the will."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    # --- packets in

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout()
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout as error:
            raise Timeout() from error
        except (ssl.SSLError, OSError) as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def _take(self):
        """One whole packet out of the buffer, or None."""
        length, shift = 0, 0
        for index, byte in enumerate(self.buffer[1:5]):
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                start = index + 2
                if len(self.buffer) < start + length:
                    return None
                head, body = self.buffer[0], self.buffer[start:start + length]
                self.buffer = self.buffer[start + length:]
                return head, body
        return None

    def _handle(self, head, body):
        kind = head >> 4
        if kind == CONNACK:
            self.connack = body[1]
            self.session_present = bool(body[0] & 1)
        elif kind == PUBLISH:
            size = struct.unpack("!H", body[:2])[0]
            topic, rest = body[2:2 + size].decode(), body[2 + size:]
            if head & 6:
                packet_id, rest = rest[:2], rest[2:]
                self._send(_packet(PUBACK, 0, packet_id))
            properties = rest[0]
            self.messages.append((topic, rest[1 + properties:]))
        elif kind == PUBACK:
            self.acks[struct.unpack("!H", body[:2])[0]] = body[2] if len(body) > 2 else 0
        elif kind == SUBACK:
            self.acks[struct.unpack("!H", body[:2])[0]] = body[-1]
        elif kind == PINGRESP:
            self.has_pong = True
        elif kind == DISCONNECT:
            self.disconnect_reason = body[0] if body else 0

    def _until(self, is_done, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while not is_done():
            packet = self._take()
            if packet is None:
                self._fill(deadline)
            else:
                self._handle(*packet)

    def message(self, timeout=None):
        """The next message: (topic, payload)."""
        self._until(lambda: self.messages, timeout)
        return self.messages.pop(0)

    def is_closed_within(self, seconds):
        """Waits for the broker to end the connection."""
        try:
            self._until(lambda: False, seconds)
        except Closed:
            return True
        except Timeout:
            return False
        return False
