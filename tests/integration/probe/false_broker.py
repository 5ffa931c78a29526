"""A broker that lies: what a hub meets when its broker, or somebody with the broker's key, is not honest.

It serves one connection at a time over the scene's broker certificate, and signs with whatever key a story
hands it.
"""

import base64
import json
import os
import socket
import ssl
import struct
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from device import b64u, sign_raw, unb64u
from mqtt5 import CONNACK, CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, Client, Closed, _packet, _text

PINGRESP = 13


def load_key(path):
    return serialization.load_pem_private_key(open(path, "rb").read(), None)


def load_der(path):
    return x509.load_pem_x509_certificate(open(path, "rb").read()).public_bytes(serialization.Encoding.DER)


def seal(payload, key, x5c, header=None, signing_key=None):
    """A plugin's message; payload a dict or JSON text."""
    head = {"alg": "ES256", "typ": "keyturn-ctl+1", "x5c": [base64.b64encode(x5c).decode()]}
    head.update(header or {})
    protected = b64u(json.dumps(head, separators=(",", ":")).encode())
    text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
    body = b64u(text.encode())
    signature = sign_raw(signing_key or key, (protected + "." + body).encode())
    return json.dumps({"protected": protected, "payload": body, "signature": b64u(signature)}, separators=(",", ":"))


class Peer(Client):
    """A client's connection, seen from the broker. client_id, fingerprint: who came."""

    def __init__(self, sock, broker):
        super().__init__(broker.timeout)
        self.sock, self.broker = sock, broker
        self.client_id = None
        self.subscribed = False
        self.dn, self.sn = None, os.urandom(16)
        der = sock.getpeercert(binary_form=True)
        self.certificate = x509.load_der_x509_certificate(der) if der else None

    def _handle(self, head, body):
        kind = head >> 4
        if kind == CONNECT:
            at = 10
            at += 1 + body[at]
            size = struct.unpack("!H", body[at:at + 2])[0]
            self.client_id = body[at + 2:at + 2 + size].decode()
        elif kind == SUBSCRIBE:
            self._send(_packet(SUBACK, 0, body[:2] + b"\0\1"))
            self.subscribed = True
        elif kind == PINGREQ:
            self._send(_packet(PINGRESP, 0, b""))
        elif kind == DISCONNECT:
            raise Closed("DISCONNECT")
        else:
            super()._handle(head, body)

    def accept(self, code=0):
        """Waits for CONNECT and answers."""
        self._until(lambda: self.client_id is not None)
        self._send(_packet(CONNACK, 0, bytes([0, code, 0])))
        return self

    def hear(self, kind=None, timeout=None):
        """The next device message, as a dict (its signature is the plugin's business)."""
        while True:
            _, text = self.message(timeout)
            message = json.loads(unb64u(json.loads(text)["payload"]))
            if message["type"] == "hello":
                self.dn = message["dn"]
            if kind is None or message["type"] == kind:
                return message

    def tell(self, text):
        topic = f"keyturn/v1/device/{self.client_id.rsplit(':', 1)[0]}/cmd"
        self.packet_id += 1
        raw = text if isinstance(text, bytes) else text.encode()
        self.acks = {}
        mine = self.packet_id
        self._send(_packet(PUBLISH, 2, _text(topic) + struct.pack("!H", mine) + b"\0" + raw))
        self._until(lambda: mine in self.acks)

    def payload(self, kind, **fields):
        message = {"v": 1, "type": kind, "td": self.broker.scene.td, "device": self.client_id.rsplit(":", 1)[0],
                   "dn": self.dn}
        message.update(fields)
        return {name: value for name, value in message.items() if value is not None}

    def say(self, kind, **fields):
        """A message as the plugin would send it."""
        text = seal(self.payload(kind, **fields), self.broker.controller_key, self.broker.controller)
        self.tell(text)
        return text

    def welcome(self, next_step="none", op="0", fp=None):
        hello = self.hear("hello")
        self.say("welcome", sn=b64u(self.sn), time=str(int(time.time() * 1000000)), fp=fp or hello["fp"],
                 next=next_step, op=op)
        return hello


class FalseBroker:
    def __init__(self, scene, port, timeout=15, cert=None, key=None, versions=None, client_ca=None):
        pki = scene.tmp + "/pki/"
        self.scene, self.timeout = scene, timeout
        self.controller = load_der(pki + "controller-1.pem")
        self.controller_key = load_key(pki + "controller-1.key")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if versions:
            self.context.maximum_version = versions
        self.context.load_cert_chain(cert or pki + "broker.pem", key or pki + "broker.key")
        self.context.load_verify_locations(client_ca or pki + "clients.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(16)

    def tcp(self):
        """The next connection, before TLS."""
        self.listener.settimeout(self.timeout)
        raw, _ = self.listener.accept()
        raw.settimeout(self.timeout)
        return raw

    def peer(self):
        """The next connection, after TLS; raises Closed where the handshake fails."""
        raw = self.tcp()
        try:
            return Peer(self.context.wrap_socket(raw, server_side=True), self)
        except (ssl.SSLError, OSError) as error:
            raw.close()
            raise Closed(str(error)) from error

    def close(self):
        self.listener.close()
