#!/usr/bin/env python3
"""Makes es256.txt: signatures and keys at the edges of ES256, each with what becomes of it.

Plain arithmetic on P-256 (FIPS 186-4 D.1.2.3), so that every value can be chosen; nothing here is random.
Columns: what is wanted, the public key, the signature, the message (hex, "-" for none), a name.
Wanted: ok, verify (kt_verify refuses), invalid or unsupported (the key is refused).
"""
import hashlib

P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff
N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b
G = (0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
     0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5)
D = 0xc9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721  # of RFC 6979 A.2.5
K = 0x5a1c0ffee5a1c0ffee5a1c0ffee5a1c0ffee5a1c0ffee5a1c0ffee5a1c0ffee5
HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
MESSAGE = b"keyturn"


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    slope = ((3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k, point):
    out = None
    while k > 0:
        if k & 1:
            out = add(out, point)
        point = add(point, point)
        k >>= 1
    return out


def y_of(x):
    square = (x * x * x - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return y if y * y % P == square else None


def number(value, size=32):
    return value.to_bytes(size, "big")


def point_bytes(point, head=4):
    return bytes([head]) + number(point[0]) + number(point[1])


def hash_of(message):
    return int.from_bytes(hashlib.sha256(message).digest(), "big")


def sign(d, k, message):
    r = times(k, G)[0] % N
    return r, pow(k, -1, N) * (hash_of(message) + r * d) % N


LINES = []


def vector(want, key, sig, name, message=MESSAGE):
    LINES.append(" ".join([want, key.hex() or "-", sig.hex() or "-", message.hex() or "-", name]))


def signatures():
    """Of one good key: only the signature differs."""
    q = HEAD + point_bytes(times(D, G))
    r, s = sign(D, K, MESSAGE)
    both = number(r) + number(s)
    vector("ok", q, both, "good")
    vector("ok", q, number(r) + number(N - s), "s-is-n-minus-s")  # malleated: see docs/PROTOCOL.md
    r1, s1 = sign(D, 1, MESSAGE)
    vector("ok", q, number(r1) + number(s1), "k-is-1")
    r2, s2 = sign(D, N - 1, MESSAGE)
    vector("ok", q, number(r2) + number(s2), "k-is-n-minus-1")
    vector("verify", q, both, "another-message", b"keytum")
    vector("verify", q, both, "no-message", b"")
    edges = {"0": 0, "1": 1, "2": 2, "n-minus-1": N - 1, "n": N, "n-plus-1": N + 1, "p-minus-n": P - N, "p": P,
             "p-minus-1": P - 1, "p-plus-1": P + 1, "all-ones": 2**256 - 1, "half-n": N // 2, "2-to-255": 1 << 255,
             "gx": G[0], "gy": G[1], "hash": hash_of(MESSAGE)}
    for name, value in edges.items():
        vector("verify", q, number(value) + number(s), f"r-is-{name}")
        vector("verify", q, number(r) + number(value), f"s-is-{name}")
        for other in ("0", "n", "all-ones", "1"):
            vector("verify", q, number(value) + number(edges[other]), f"r-is-{name}-s-is-{other}")
    vector("verify", q, number(s) + number(r), "swapped")
    vector("verify", q, number(r) + number(r), "r-twice")
    vector("verify", q, number(N - r) + number(s), "r-is-n-minus-r")
    vector("verify", q, number(P - r) + number(s), "r-is-p-minus-r")
    for size in (0, 1, 31, 32, 33, 63, 65, 66, 96, 128):
        vector("verify", q, (both + bytes(64))[:size], f"length-{size}")
    vector("verify", q, b"\0" + both[:-1], "shifted-right")
    vector("verify", q, both[1:] + b"\0", "shifted-left")
    vector("verify", q, both[::-1], "backwards")
    vector("verify", q, r.to_bytes(32, "little") + s.to_bytes(32, "little"), "little-endian")

    def integer(value):
        body = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes([2, len(body)]) + body
    der = integer(r) + integer(s)
    vector("verify", q, bytes([0x30, len(der)]) + der, "der")


def keys_for_signatures():
    """Where the arithmetic has its own corners: the key is chosen for the signature."""
    e = hash_of(MESSAGE)
    r, s = sign(D, K, MESSAGE)
    # u1 G + u2 Q is the point at infinity: e + r d = 0
    d = -e * pow(r, -1, N) % N
    for name, value in (("1", 1), ("2", 2), ("any", s)):
        vector("verify", HEAD + point_bytes(times(d, G)), number(r) + number(value), f"sum-is-infinity-s-is-{name}")
    # u1 G = u2 Q: the sum is a doubling
    t = 12345
    rr = times(2 * t, G)[0] % N
    ss = e * pow(t, -1, N) % N
    vector("ok", HEAD + point_bytes(times(e * pow(rr, -1, N) % N, G)), number(rr) + number(ss), "sum-is-a-doubling")
    # u1 G = -(u2 Q) + R with Q = G, Q = -G, Q = 2 G
    for name, dd in (("g", 1), ("minus-g", N - 1), ("2g", 2)):
        r3, s3 = sign(dd, K, MESSAGE)
        vector("ok", HEAD + point_bytes(times(dd, G)), number(r3) + number(s3), f"key-is-{name}")
        vector("verify", HEAD + point_bytes(times(dd, G)), number(r3) + number((s3 + 1) % N), f"key-is-{name}-s-is-off")
    # x of R is not below n: r is x - n, and what is signed is right all the same
    x = N
    while y_of(x) is None or x == N:
        x += 1
    big_r = (x, y_of(x))
    small = x - N
    q = times(pow(small, -1, N), add(times(s, big_r), times(N - e % N, G)))
    vector("ok", HEAD + point_bytes(q), number(small) + number(s), "x-of-r-is-over-n")
    vector("verify", HEAD + point_bytes(q), number(x) + number(s), "x-of-r-is-over-n-unreduced")
    # r + n would be over p: no such x
    vector("verify", HEAD + point_bytes(q), number(P - N + 1) + number(s), "r-plus-n-is-over-p")
    # the same x, the other y: another key
    good = times(D, G)
    vector("verify", HEAD + point_bytes((good[0], P - good[1])), number(r) + number(s), "key-is-negated")


def keys():
    """Keys that are refused, whatever is signed."""
    good = times(D, G)
    r, s = sign(D, K, MESSAGE)
    sig = number(r) + number(s)
    point = point_bytes(good)
    refused = {
        "zeros": point_bytes((0, 0)), "x-is-0": point_bytes((0, good[1])), "y-is-0": point_bytes((good[0], 0)),
        "x-is-p": point_bytes((P, good[1])), "y-is-p": point_bytes((good[0], P)),
        "x-is-over-p": bytes([4]) + number(5 + P) + number(y_of(5)), "y-is-over-p": None,
        "all-ones": bytes([4]) + b"\xff" * 64, "x-twice": point_bytes((good[0], good[0])),
        "swapped": point_bytes((good[1], good[0])), "y-plus-1": point_bytes((good[0], good[1] + 1)),
        "x-plus-1": point_bytes((good[0] + 1, good[1])), "off-by-a-bit": point_bytes((good[0] ^ 1 << 200, good[1])),
        "zero-head": point_bytes(good, 0), "head-5": point_bytes(good, 5), "hybrid-6": point_bytes(good, 6),
        "hybrid-7": point_bytes(good, 7), "head-ff": point_bytes(good, 255),
        "infinity": b"\0", "infinity-long": bytes(65)}
    del refused["y-is-over-p"]
    small_y = next(y for y in range(1, 500) if cube(y) is not None)
    refused["y-is-over-p"] = bytes([4]) + number(cube(small_y)) + number(small_y + P)
    # a point of the twist, and one of y^2 = x^3 - 3x + 1: invalid curve attacks begin with these
    twist_x = next(x for x in range(1, 500) if y_of(x) is None)
    refused["twist"] = point_bytes((twist_x, 1))
    refused["other-b"] = point_bytes((1, pow((1 - 3 + 1) % P, (P + 1) // 4, P)))
    for name, bad in refused.items():
        want = "invalid"
        head = HEAD if len(bad) == 65 else bytes([0x30, 0x13 + 4 + len(bad), 0x30, 0x13]) + HEAD[4:23] + \
            bytes([3, len(bad) + 1, 0])
        vector(want, head + bad, sig, f"key-{name}")
    for name, parity in (("02", 2), ("03", 3)):
        body = bytes([parity]) + number(good[0])
        vector("unsupported", bytes([0x30, 0x39, 0x30, 0x13]) + HEAD[4:23] + bytes([3, 0x22, 0]) + body, sig,
               f"key-compressed-{name}")
    whole = HEAD + point
    encodings = {
        "cut": whole[:-1], "trailing": whole + b"\0", "empty": b"", "sequence-only": b"\x30\x00",
        "long-length": b"\x30\x81\x59" + whole[2:], "padded-length": b"\x30\x82\x00\x59" + whole[2:],
        "indefinite": b"\x30\x80" + whole[2:] + b"\0\0", "unused-bits": whole[:25] + b"\x01" + whole[26:],
        "octet-string": whole[:23] + b"\x04" + whole[24:], "set": b"\x31" + whole[1:],
        "bit-string-long": b"\x30\x5a" + whole[2:24] + b"\x81\x42" + whole[25:],
        "inner-long": b"\x30\x5a\x30\x81\x13" + whole[4:], "no-parameters": b"\x30\x4f\x30\x09" + whole[4:13] + whole[23:],
        "null-parameters": b"\x30\x51\x30\x0b" + whole[4:13] + b"\x05\x00" + whole[23:],
        "oid-twice": b"\x30\x5b\x30\x1d" + whole[4:23] + whole[13:23] + whole[23:]}
    for name, bad in encodings.items():
        vector("invalid" if name not in UNSUPPORTED else "unsupported", bad, sig, f"spki-{name}")
    others = {"secp256k1": "06052b8104000a", "secp384r1": "06052b81040022", "secp224r1": "06052b81040021",
              "brainpool256": "06092b2403030208010107"}
    for name, oid in others.items():
        algorithm = bytes.fromhex("06072a8648ce3d0201" + oid)
        body = bytes([0x30, len(algorithm)]) + algorithm + bytes([3, 66, 0]) + point
        vector("unsupported", bytes([0x30, len(body)]) + body, sig, f"curve-{name}")


def cube(y):
    """An x with that y, or None: the cubic by trial of a few x would take for ever, so from the other side."""
    # x^3 - 3x + (B - y^2) = 0 over GF(P): the greatest common divisor with x^P - x has the roots
    c = (B - y * y) % P
    poly = power_of_x(P, c)
    poly[1] = (poly[1] - 1) % P
    root = gcd_root([c, P - 3, 0, 1], poly)
    return root


def mul(a, b, c):
    out = [0] * 5
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = (out[i + j] + x * y) % P
    for i in (4, 3):  # x^3 = 3x - c
        out[i - 2] = (out[i - 2] + 3 * out[i]) % P
        out[i - 3] = (out[i - 3] - c * out[i]) % P
        out[i] = 0
    return out[:3]


def power_of_x(k, c):
    out, base = [1, 0, 0], [0, 1, 0]
    while k > 0:
        if k & 1:
            out = mul(out, base, c)
        base = mul(base, base, c)
        k >>= 1
    return out


def gcd_root(a, b):
    def trim(p):
        while p and p[-1] % P == 0:
            p.pop()
        return p
    a, b = trim(list(a)), trim(list(b))
    while b:
        while len(a) >= len(b):
            factor = a[-1] * pow(b[-1], -1, P) % P
            for i in range(1, len(b) + 1):
                a[-i] = (a[-i] - factor * b[-i]) % P
            a = trim(a)
            if not a:
                break
        a, b = b, a
    return -a[0] * pow(a[1], -1, P) % P if len(a) == 2 else None


def ed25519():
    """No EdDSA: not one of these is looked at any further than its algorithm."""
    prime = 2**255 - 19
    order = 2**252 + 27742317777372353535851937790883648493
    points = {
        "good": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "zeros": "00" * 32,
        "identity": "01" + "00" * 31, "minus-identity": "01" + "00" * 30 + "80", "order-2": "ec" + "ff" * 30 + "7f",
        "order-4": "00" * 32, "order-4-minus": "00" * 31 + "80",
        "order-8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "order-8-minus": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "y-is-p": "ed" + "ff" * 30 + "7f", "y-is-p-plus-1": "ee" + "ff" * 30 + "7f", "all-ones": "ff" * 32,
        "off-curve": "02" + "00" * 31}
    good_r = bytes.fromhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    good_s = bytes.fromhex("5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
    for name, point in points.items():
        vector("unsupported", bytes.fromhex("302a300506032b6570032100" + point), good_r + good_s, f"ed25519-{name}", b"")
        vector("invalid", bytes.fromhex(point), good_r + good_s, f"ed25519-bare-{name}", b"")
    s = int.from_bytes(good_s, "little")
    key = bytes.fromhex("302a300506032b6570032100" + points["good"])
    p256 = HEAD + point_bytes(times(D, G))
    for name, sig in (("good", good_r + good_s), ("s-plus-l", good_r + (s + order).to_bytes(32, "little")),
                      ("s-is-l", good_r + order.to_bytes(32, "little")), ("s-is-0", good_r + bytes(32)),
                      ("r-is-p", prime.to_bytes(32, "little") + good_s), ("zeros", bytes(64)), ("short", good_r)):
        vector("unsupported", key, sig, f"ed25519-sig-{name}", b"")
        vector("verify", p256, sig, f"es256-key-ed25519-sig-{name}", b"")
    vector("unsupported", bytes.fromhex("302a300506032b656e032100" + points["good"]), good_r + good_s, "x25519")
    vector("unsupported", bytes.fromhex("3043300506032b6571033a00" + "aa" * 57), good_r + good_s, "ed448")


UNSUPPORTED = {"no-parameters", "null-parameters"}  # another kind of key, well written

signatures()
keys_for_signatures()
keys()
ed25519()
print("# Made by make.py: wanted, key, signature, message, name.")
print("\n".join(LINES))
