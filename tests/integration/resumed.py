"""The story of test_resumed.sh."""

import ssl
import time

from cryptography import x509

from mqtt5 import Client, Closed
from scene import NOT_AUTHORIZED, Scene

scene = Scene()


def context_of(identity, version):
    context = ssl.create_default_context(cafile=scene.root)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(identity.path)
    return context


def connect(device, identity, context, session=None):
    """(CONNACK code or "closed", was it resumed, the session for the next time)"""
    client = Client()
    try:
        client.tls(scene.port, scene.root, identity.path, session=session, context=context)
        reused = client.sock.session_reused
        code = client.connect(device)
        return code, reused, client.sock.session
    except Closed:
        return "closed", None, None
    finally:
        client.close()


for name, version in (("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)):
    device = "hub-" + name.replace(".", "-")
    identity = scene.new_hub(device)
    leaf = x509.load_pem_x509_certificate(open(identity.path, "rb").read())
    end = leaf.not_valid_after.timestamp() - time.timezone
    context = context_of(identity, version)
    code, reused, session = connect(device, identity, context)
    scene.equal(f"TLS {name}: the hub comes in, with a full handshake", (code, reused), (0, False))
    code, reused, session = connect(device, identity, context, session)
    scene.equal(f"TLS {name}: and again with a resumed session", (code, reused), (0, True))
    time.sleep(max(0, end - time.time()) + 1.1)  # its end is the event that is awaited
    start = scene.log_size()
    code, reused, _ = connect(device, identity, context, session)
    scene.equal(f"TLS {name}: past its end it is refused, resumed or not", (code, reused), (NOT_AUTHORIZED, True))
    scene.event_since(f"TLS {name}: and the log says why", start, "client.refused", "reason=cert.dates", f"device={device}")
    start = scene.log_size()
    code, _, _ = connect(device, identity, context_of(identity, version))
    scene.equal(f"TLS {name}: without the session the broker's TLS refuses it", code, "closed")
    scene.check(f"TLS {name}: as the broker says", scene.logged_since(start, "certificate verify failed"))
scene.finish()
