"""What people would pick instead of a rotation by Keyturn: a certificate of cfssl, a command to dynamic-security that
notes it, a reconnect."""

import base64
import hashlib
import json
import os
import subprocess
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mqtt5 import Client

CONTROL, PASSWORD, ITERATIONS = "$CONTROL/dynamic-security/v1", "bench", 101


def hashed(password):
    """As dynamic-security keeps them: PBKDF2-SHA512."""
    salt = os.urandom(12)
    return {"password": base64.b64encode(hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, 64)).decode(),
            "salt": base64.b64encode(salt).decode(), "iterations": ITERATIONS}


def write_config(path, clients):
    """dynamic-security's file: an admin, and bench-0, bench-1 ..."""
    acls = [{"acltype": kind, "topic": CONTROL.rsplit("/", 1)[0] + "/#", "allow": True}
            for kind in ("publishClientSend", "publishClientReceive", "subscribePattern")]
    users = [{"username": "admin", "roles": [{"rolename": "admin"}], **hashed(PASSWORD)}]
    one = hashed(PASSWORD)  # the same for all: they come by certificate
    users += [{"username": f"bench-{i}", "textname": "0" * 64, "roles": [], **one} for i in range(clients)]
    document = {"defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True, "subscribe": False,
                                     "unsubscribe": True},
                "clients": users, "groups": [], "roles": [{"rolename": "admin", "acls": acls}]}
    with open(path, "w") as file:
        json.dump(document, file, indent="\t")  # as it writes it
    os.chmod(path, 0o600)


def write_cfssl_config(path):
    with open(path, "w") as file:
        json.dump({"signing": {"default": {"expiry": "87600h", "usages": ["digital signature", "client auth"]}}}, file)


class Peer:
    """Both of them, and N hubs that are moved over to new certificates, one after the other."""

    def __init__(self, place, tls_port, admin_port, cfssl_port, issuing_pem, root):
        self.dir, self.tls_port, self.cfssl_port, self.root = place, tls_port, cfssl_port, root
        with open(issuing_pem) as file:
            self.issuing = file.read()
        self.admin = Client(60)
        self.admin.tcp(admin_port)
        code = self.admin.connect("admin", username="admin", password=PASSWORD.encode())
        if code != 0:
            raise RuntimeError(f"dynamic-security does not let its admin in: {code}")
        self.admin.subscribe(CONTROL + "/response")
        self.moved = {}  # name: fingerprint

    def sign(self, request):
        body = json.dumps({"certificate_request": request}).encode()
        answer = urllib.request.urlopen(f"http://127.0.0.1:{self.cfssl_port}/api/v1/cfssl/sign", body, 60)
        answer = json.load(answer)
        if not answer["success"]:
            raise RuntimeError(f"cfssl: {answer}")
        return answer["result"]["certificate"]

    def move(self, number, generation):
        """One hub's rotation; what is not the hub's own work is in the two processes."""
        name = f"bench-{number}"
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        certificate = self.sign(request.public_bytes(serialization.Encoding.PEM).decode())
        fingerprint = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256()).hex()
        self.admin.publish(CONTROL, json.dumps({"commands": [{"command": "modifyClient", "username": name,
                                                              "textname": fingerprint}]}))
        _, answer = self.admin.message(60)
        if "error" in json.loads(answer)["responses"][0]:
            raise RuntimeError(f"dynamic-security: {answer}")
        path = f"{self.dir}/{name}.{generation}.pem"
        with open(path, "w") as file:
            file.write(certificate + self.issuing + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())
        hub = Client(60)
        hub.tls(self.tls_port, self.root, path)
        code = hub.connect(name)
        hub.disconnect()
        if code != 0:
            raise RuntimeError(f"{name} is not let in with its new certificate: {code}")
        self.moved[name] = fingerprint

    def kept(self, path):
        """How many of the new certificates are in dynamic-security's file."""
        with open(path) as file:
            clients = {client["username"]: client.get("textname") for client in json.load(file)["clients"]}
        return sum(clients.get(name) == fingerprint for name, fingerprint in self.moved.items())
