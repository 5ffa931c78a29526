"""tests/bench/run.sh connect: what a mutual TLS connect (TLS 1.3) costs the broker, full and resumed.

Instructions (callgrind), which repeat to a thousandth, one connect after the other; and the processor's time of the
broker, ten on their way at a time, all brokers in turn. All threads and ticks between the first and the last connect
count. The baseline lets in whoever shows a certificate of the CA: the cheapest there is.
"""

import datetime
import os
import pathlib
import random
import re

from play import Bench, Failed, dynsec_plugin, median, paired, read_text, write_dynsec

REAL = 10                 # devices that connect, of how many there are
WARM = 20
ADDED_LIMIT = 1.0035      # instructions, at the most devices, in those without a plugin
GROWTH_LIMIT = 1.005      # at the most devices, in those at 1,000
SHIPPED_LIMIT = 0.72      # the shipped settings' CPU in a stock broker's
PASSWORD = "benchmark"
KINDS = ("full", "resumed")


class Way:
    """One broker, and how it is connected to."""

    def __init__(self, broker, title, identities, options=(), kinds=KINDS):
        self.broker, self.title, self.identities, self.options, self.kinds = broker, title, identities, list(options), kinds
        self.tickets = pathlib.Path(broker.dir, "tickets")
        self.tickets.mkdir()


class Connect(Bench):
    def __init__(self):
        super().__init__("connect", devices=[10, 1000, 100000, 1000000], clients=10000, revoked=1000, connects=100, rounds=9,
                         cpu_connects=400)
        self.sizes = sorted(self.args.devices)
        self.base = 1000 if 1000 in self.sizes else self.sizes[0]
        self.ways = {}
        cores = sorted(os.sched_getaffinity(0))
        self.cores = [["taskset", "-c", str(cores[0])], ["taskset", "-c", str(cores[-1])]]

    # --- who is connected to

    def shipped_environment(self):
        """What docs/OPERATIONS.md puts into the service, and the file that it has for it."""
        page = read_text(pathlib.Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md")
        found = re.search(r"<!-- check: openssl-cnf -->\n```ini\n(.*?)```", page, re.S)
        if not found or "NumTickets = 0" not in found[1]:
            raise Failed("docs/OPERATIONS.md has no openssl.cnf")
        path = pathlib.Path(self.top, "openssl.cnf")
        path.write_text(found[1])
        tunables = re.search(r"^Environment=GLIBC_TUNABLES=(\S+)$", page, re.M)
        if not tunables:
            raise Failed("docs/OPERATIONS.md has no GLIBC_TUNABLES")
        return {"OPENSSL_CONF": str(path), "GLIBC_TUNABLES": tunables[1]}

    def write_crl(self, path, revoked):
        """So many serials of the issuing CA, and that of the certificate revoked."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        pki = pathlib.Path(self.top, "pki")
        key = serialization.load_pem_private_key((pki / "issuing.key").read_bytes(), None)
        issuer = x509.load_pem_x509_certificate((pki / "issuing.pem").read_bytes())
        now, generator = datetime.datetime.utcnow(), random.Random(4711)
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(
            now - datetime.timedelta(hours=1)).next_update(now + datetime.timedelta(days=30))
        serials = [x509.load_pem_x509_certificate(pathlib.Path(revoked).read_bytes()).serial_number]
        serials += [generator.getrandbits(120) + 1 for _ in range(self.args.revoked - 1)]
        for serial in serials:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def make_ways(self):
        first = None
        self.strangers = self.make_fleet("strangers", 1, 1) / "identities"
        for size in self.sizes:
            place = self.make_fleet(f"fleet-{size}", size, REAL)
            first = first or place / "identities"
            self.ways[f"keyturn-{size}"] = Way(
                self.add_broker(f"keyturn-{size}", plugin=True, fleet=place, socket=True), f"Keyturn, {size} registered devices",
                place / "identities")
        self.ways["plain"] = Way(self.add_broker("plain", anonymous=True), "no plugin (any certificate of the CA)", first)
        directory = pathlib.Path(self.top, "dynsec")
        directory.mkdir()
        write_dynsec(directory / "clients.json", self.args.clients, REAL, PASSWORD)
        self.ways["dynsec"] = Way(
            self.add_broker("dynsec", lines=[f"plugin {dynsec_plugin()}", f"plugin_opt_config_file {directory}/clients.json"]),
            f"dynamic-security, {self.args.clients} clients", first, ["password=" + PASSWORD])
        crl = pathlib.Path(self.top, "list.crl")
        self.write_crl(crl, self.strangers / "0.pem")
        self.ways["crlfile"] = Way(self.add_broker("crlfile", anonymous=True, listener=[f"crlfile {crl}"]),
                                   f"crlfile, {self.args.revoked} revoked", first)
        place = pathlib.Path(self.top, f"fleet-{self.base}-shipped")
        place = self.make_fleet(place.name, self.base, REAL)
        self.ways["shipped"] = Way(
            self.add_broker("shipped", plugin=True, fleet=place, environment=self.shipped_environment()),
            f"Keyturn as shipped (OPERATIONS), {self.base} devices", place / "identities", kinds=KINDS[:1])
        self.ways["stock"] = Way(self.add_broker("stock", anonymous=True, nodelay=False), "stock broker: no plugin, its own defaults",
                                 first)

    # --- a connect

    def connect(self, way, count, *options, identities=None, before=(), devices=REAL):
        return self.run([*before, self.program("bench_connect"), way.broker.port, identities or way.identities, devices, count,
                         *way.options, *options], timeout=self.patience)

    def is_accepted(self, way, **more):
        try:
            self.connect(way, 1, devices=1, **more)
        except Failed:
            return False
        return True

    def check_door(self, name, way):
        """It lets in whom it should, and nobody else: else what is counted is not what is asked."""
        self.check(f"{name}: lets its own in", self.is_accepted(way))
        if name.startswith("keyturn") or name in ("shipped", "crlfile"):
            self.check(f"{name}: refuses a certificate of the CA that it should not know", not self.is_accepted(way, identities=self.strangers))
        if name == "dynsec":
            right, way.options = way.options, ["password=wrong"]
            self.check(f"{name}: refuses a wrong password", not self.is_accepted(way))
            way.options = right

    # --- instructions

    def counted(self, name, what):
        """The total of the dump with this name."""
        for path in pathlib.Path(self.top).glob(f"{name}.callgrind*"):
            text = read_text(path)
            if re.search(rf"Trigger: .*{what}\b", text):
                return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1])
        raise Failed(f"{name}: no figure from callgrind")

    def control(self, way, *words):
        self.run(["callgrind_control", *words, way.broker.pid])

    def instructions(self, name, way):
        if way.broker.fleet != way.broker.dir:  # once at full speed, so that the index stands
            way.broker.start()
            way.broker.stop()
        way.broker.start("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet",
                         f"--callgrind-out-file={self.top}/{name}.callgrind")
        self.control(way, "--instr=on")
        figures, count = {}, self.args.connects
        for kind in way.kinds:
            tickets = [f"{'save' if kind == 'full' else 'resume'}={way.tickets}"] if len(way.kinds) > 1 else []
            self.connect(way, WARM, *tickets)
            self.control(way, "--zero")
            self.connect(way, count, *tickets)
            self.control(way, f"--dump=measured-{kind}")
            figures[kind] = self.counted(name, f"measured-{kind}") / count
        self.check(f"{name}: the broker ends as it should", way.broker.stop())
        return figures

    def all_instructions(self):
        rows = {name: self.instructions(name, way) for name, way in self.ways.items() if name != "stock"}
        self.document["instructions"] = rows
        for kind in KINDS:
            self.tell(f"connect: instructions of the broker for one, TLS 1.3, {kind} handshake ({self.args.connects} each)")
            for name, row in rows.items():
                if kind in row:
                    self.tell(f"  {self.ways[name].title:52} {row[kind]:12.0f}  ratio {row[kind] / rows['plain'][kind]:.4f}")
        return rows

    # --- the processor's time

    def timed(self, way, kind):
        options = [f"at-once={REAL}", f"pid={way.broker.pid}"]
        if len(way.kinds) > 1:
            options.append(f"{'save' if kind == 'full' else 'resume'}={way.tickets}")
        out = self.connect(way, self.args.cpu_connects, *options, before=self.cores[1])
        return int(re.search(r"cpu_ns (\d+)", out)[1]) / self.args.cpu_connects / 1000

    def all_times(self):
        figures = {kind: {} for kind in KINDS}
        for name, way in self.ways.items():
            way.broker.start(*self.cores[0])
            self.check_door(name, way)
        for turn in range(self.args.rounds + 1):  # the first one warms up
            for kind in KINDS:
                for name, way in self.ways.items():
                    if kind in way.kinds:
                        took = self.timed(way, kind)
                        figures[kind].setdefault(name, []).extend([took] if turn > 0 else [])
        self.stop_all()
        rows = self.document["cpu"] = {"connects": self.args.cpu_connects, "rounds": self.args.rounds, "at_once": REAL}
        for kind in KINDS:
            self.tell(f"connect: microseconds of the broker's CPU for one, TLS 1.3, {kind} handshake, {REAL} on their way "
                      f"({self.args.rounds} rounds of {self.args.cpu_connects})")
            for name, values in figures[kind].items():
                row = {"us": median(values), "ratio": paired(figures[kind], name, "plain"), "least": min(values), "most": max(values)}
                rows.setdefault(name, {})[kind] = row
                self.tell(f"  {self.ways[name].title:52} {row['us']:8.0f}  ratio {row['ratio']:.3f}  ({row['least']:.0f} to "
                          f"{row['most']:.0f})")
        return figures

    # --- all of it

    def play(self):
        self.make_ways()
        self.document["titles"] = {name: way.title for name, way in self.ways.items()}
        self.document["devices"], self.document["connects"] = self.sizes, self.args.connects
        counts, times = self.all_instructions(), self.all_times()
        most = f"keyturn-{self.sizes[-1]}"
        self.target(f"instructions of a full connect, {self.sizes[-1]} devices, in those without a plugin",
                    counts[most]["full"] / counts["plain"]["full"], ADDED_LIMIT, "{:.5f}")
        if self.base != self.sizes[-1]:
            self.target(f"instructions of a full connect, {self.sizes[-1]} devices to {self.base}",
                        counts[most]["full"] / counts[f"keyturn-{self.base}"]["full"], GROWTH_LIMIT, "{:.5f}")
        shipped = paired({"shipped": times["full"]["shipped"], "stock": times["full"]["stock"]}, "shipped", "stock")
        self.document["cpu"]["shipped_to_stock"] = shipped
        self.target("CPU of a full connect with the shipped settings, in a stock broker's", shipped, SHIPPED_LIMIT, "{:.3f}")


if __name__ == "__main__":
    bench = Connect()
    bench.main(bench.play)
