"""A hub that can misbehave: Keyturn's protocol, written a second time from docs/PROTOCOL.md.

Shares no code with the product: JWS, CSR binding and messages come from the page, the signatures from
python3-cryptography.
"""

import base64
import hashlib
import json
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import AttributeOID, NameOID

from mqtt5 import Client, Closed, Timeout

DEV_TOPIC = "$CONTROL/keyturn/v1/dev"


def b64u(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key(curve=None):
    return ec.generate_private_key(curve or ec.SECP256R1())


def sign_raw(key, data):
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def jws(key, payload, header=None):
    """Flattened JSON. payload: dict, or JSON as it shall be (text or bytes)."""
    head = json.dumps(header or {"alg": "ES256", "typ": "keyturn-dev+1"}, separators=(",", ":")).encode()
    body = payload if isinstance(payload, (str, bytes)) else json.dumps(payload, separators=(",", ":"))
    body = body.encode() if isinstance(body, str) else body
    signing_input = (b64u(head) + "." + b64u(body)).encode()
    return json.dumps({"protected": b64u(head), "payload": b64u(body), "signature": b64u(sign_raw(key, signing_input))},
                      separators=(",", ":"))


def open_controller_jws(text, root_pem):
    """Verifies a plugin message by the root and returns its payload."""
    outer = json.loads(text)
    header = json.loads(unb64u(outer["protected"]))
    assert header["alg"] == "ES256" and header["typ"] == "keyturn-ctl+1" and len(header["x5c"]) == 1, header
    certificate = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    root = x509.load_pem_x509_certificate(open(root_pem, "rb").read())
    root.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes,
                             ec.ECDSA(certificate.signature_hash_algorithm))
    raw = unb64u(outer["signature"])
    assert len(raw) == 64
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    certificate.public_key().verify(signature, (outer["protected"] + "." + outer["payload"]).encode(),
                                    ec.ECDSA(hashes.SHA256()))
    return json.loads(unb64u(outer["payload"]))


def binding(td, device, op, nonce):
    parts = [b"keyturn csr v1", td.encode(), device.encode(), str(op).encode(), nonce]
    return b64u(hashlib.sha256(b"\0".join(parts)).digest())


def make_csr(key, name, challenge, extensions=()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def key_id(key):
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def write_identity(path, key, chain):
    """chain: DER certificates, leaf first."""
    with open(path, "wb") as out:
        for der in chain:
            out.write(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM))
        out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption()))


class Identity:
    """Certificate chain and key out of one PEM file."""

    def __init__(self, path):
        self.path = path
        text = open(path, "rb").read()
        self.key = serialization.load_pem_private_key(text[text.index(b"-----BEGIN PRIVATE"):], None)
        leaf = x509.load_pem_x509_certificate(text)
        self.fingerprint = hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest()
        self.generation = int.from_bytes(leaf.serial_number.to_bytes(19, "big")[1:5], "big")


class Device(Client):
    """One connection of <device>:agent, <device>:trial or a claimant."""

    def __init__(self, scene, device, identity=None, timeout=None):
        super().__init__(timeout)
        self.scene, self.device, self.identity = scene, device, identity
        self.dn = os.urandom(16)
        self.sn = b""
        self.former = set()
        self.key = identity.key if identity else None

    def open(self, tag, **options):
        """TLS and CONNECT as <device>:<tag>; the CONNACK code."""
        self.tls(self.scene.port, self.scene.root, self.identity.path if self.identity else None)
        return self.connect(f"{self.device}:{tag}" if tag else self.device, **options)

    def open_claim(self, port, identity_path=None, client_id=None):
        self.tls(port, self.scene.root, identity_path)
        self.client_id = client_id or "claim:" + b64u(os.urandom(16))
        return self.connect(self.client_id)

    def payload(self, kind, **fields):
        common = {"v": 1, "type": kind, "td": self.scene.td, "device": self.device}
        if kind in ("hello", "enroll"):
            common["dn"] = b64u(self.dn)
        else:
            common["sn"] = b64u(self.sn)
        common.update(fields)
        return {name: value for name, value in common.items() if value is not None}

    def send(self, kind, key=None, **fields):
        return self.publish(DEV_TOPIC, jws(key or self.key, self.payload(kind, **fields)))

    def expect(self, kind=None, timeout=None):
        """The next message of the plugin, verified; its dn must be ours (or one of `former`, which is passed over:
        what was said to an earlier connection goes to whoever has its client id when the broker sends it)."""
        while True:
            topic, text = self.message(timeout)
            if not topic.endswith("/cmd"):
                continue
            message = open_controller_jws(text, self.scene.root)
            if message["dn"] in self.former:
                continue
            assert message["dn"] == b64u(self.dn), "a message for another connection"
            if kind is not None and message["type"] != kind:
                raise AssertionError(f"expected {kind}, got {message}")
            return message

    def hello(self, phase="stable", op="0", **fields):
        self.send("hello", agent="0.1-probe", store="file", generation=str(self.identity.generation),
                  fp=self.identity.fingerprint, phase=phase, op=op, **fields)
        welcome = self.expect("welcome")
        self.sn = unb64u(welcome["sn"])
        return welcome

    def enroll(self, key, ticket=None, csr=None, **fields):
        self.key = key
        request = csr or make_csr(key, self.device or "keyturn", binding(self.scene.td, self.device, 0, self.dn))
        self.send("enroll", csr=b64u(request), ticket=ticket, **fields)

    def reject_reason(self, timeout=None):
        message = self.expect("reject", timeout)
        return message["reason"]

    def silence(self, seconds=1.0):
        """True if nothing comes."""
        try:
            return self.expect(None, seconds) is None
        except Timeout:
            return True
