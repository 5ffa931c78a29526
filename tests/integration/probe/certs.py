"""Certificates that nobody ordered: what a thief of the issuing key, or another CA, would make."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device import write_identity

DAY = datetime.timedelta(days=1)


def load(pki, name):
    """Certificate and key of pki/name.pem and name.key."""
    certificate = x509.load_pem_x509_certificate(open(f"{pki}/{name}.pem", "rb").read())
    key = serialization.load_pem_private_key(open(f"{pki}/{name}.key", "rb").read(), None)
    return certificate, key


def forge(path, pki, uri, name="forged", issuer="issuing", key=None, start=-DAY, end=DAY):
    """A client certificate under a CA whose key we happen to have; path, with chain and key."""
    ca, ca_key = load(pki, issuer)
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    leaf = (x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
            .sign(ca_key, hashes.SHA256()))
    write_identity(path, key, [c.public_bytes(serialization.Encoding.DER) for c in (leaf, ca)])
    return path
