"""The place of the fault tests: crash's, with a CA of others, a revocation list, and timers that do not hold anybody up."""

import datetime
import json
import os
import re
import socket
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alloc_page import PLUGIN, Lost, Page
from device import Identity, unb64u, write_identity
from ledger_fold import Fold
from mqtt5 import Client, Closed, Timeout
from place import PKI, Failed, Place, need, wait_until
from scene import CONTROL
from walker import Walker

DAY = datetime.timedelta(days=1)
BUSY = 0x89


class OtherCA:
    """Whose certificates a fleet had before."""

    def __init__(self, path):
        self.path, self.key = path, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An older CA")])
        self.certificate = self._make(self.name, self.key, True)
        with open(path, "wb") as out:
            out.write(open(PKI + "/clients.pem", "rb").read())
            out.write(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _make(self, subject, key, is_ca):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(int.from_bytes(os.urandom(8), "big")).not_valid_before(now - DAY).not_valid_after(now + 300 * DAY)
                .add_extension(x509.BasicConstraints(is_ca, None), True).sign(self.key, hashes.SHA256()))

    def identity(self, path, name):
        """A fresh certificate in a file; the Identity, and its PEM text."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._make(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, False)
        write_identity(path, key, [leaf.public_bytes(serialization.Encoding.DER)])
        os.chmod(path, 0o600)
        identity = Identity(path)
        identity.generation = 0
        return identity, leaf.public_bytes(serialization.Encoding.PEM).decode()


class FaultPlace(Place):
    """A broker whose plugin's allocations can fail."""

    crl = False

    def __init__(self, path, crl=False):
        self.crl = crl
        os.makedirs(path, mode=0o700, exist_ok=True)
        self.others = OtherCA(path + "/clients.pem")
        super().__init__(path)
        self.page = Page(path + "/broker.alloc", PLUGIN)
        self.fold = Fold(path + "/world/ledger/ledger.kt")
        self.control_client = None
        self.names = 0

    def _write(self):
        super()._write()
        path = self.tmp + "/keyturn.conf"
        lines = open(path).read() + "message_rate = 1000\nmessage_burst = 10000\nchallenge_timeout = 2s\nclaim_idle = 5s\n"
        if self.crl:
            os.makedirs(self.tmp + "/world/crl", mode=0o700, exist_ok=True)
            lines += f"certificate_lifetime = 90d\ncrl_file = {self.tmp}/world/crl/crl.pem\n"
        with open(path, "w") as conf:
            conf.write(lines)
        path = self.tmp + "/mosquitto.conf"
        lines = open(path).read().replace(f"cafile {PKI}/clients.pem", "cafile " + self.others.path)
        with open(path, "w") as conf:
            conf.write(lines + f"pid_file {self.tmp}/pid\n")

    def busy_code(self):
        return BUSY

    def need_alive(self):
        code = self.broker.child.poll()
        need(code is None, f"crash: the broker ended with {code}: {self.log_from(max(0, self.log_size() - 800))}")

    # --- the operator, who has patience

    def _ask_once(self, commands):
        if self.control_client is None:
            client = Client(60)
            client.unix(self.socket)
            need(client.connect("op:faults-" + os.urandom(4).hex()) in (0, BUSY), "refused: the operator is refused by name")
            if client.connack == BUSY:
                raise Lost("busy")
            self.control_client = client
        client, answers = self.control_client, []
        client.publish(CONTROL, json.dumps({"commands": commands}))

        def is_there():
            try:
                topic, text = client.message(0.02)
            except Timeout:
                return False
            if topic == CONTROL + "/response":
                answers.append(json.loads(text))
            return bool(answers)

        self.page.wait(f"the answer to {commands[0]['command']}", is_there)
        return answers[0]

    def insist(self, *commands):
        """A batch until it is answered; the answers. A reply of "busy" to all of it is a loss, too."""
        for _ in range(30):
            try:
                answer = self._ask_once(list(commands))
                responses = answer.get("responses", [answer])
                if all(response.get("error") != "busy" for response in responses):
                    return responses
                need(self.page.failed() > 0, f"{answer}, and nothing failed")
                self.page.disarm()
                time.sleep(0.1)  # it says so because it is so
            except (Lost, Closed, Timeout, socket.timeout, OSError) as error:
                self.need_alive()
                need(self.page.failed() > 0 or isinstance(error, Lost), f"{commands}: {type(error).__name__} {error}, and nothing failed")
                self.page.disarm()
                self.drop_operator()
        raise Failed(f"{commands}: not answered in 30 tries")

    def drop_operator(self):
        if self.control_client is not None:
            self.control_client.close()
            self.control_client = None

    def told(self, command, accept=(), **fields):
        """One command's data; {} where it is refused for one of these reasons (a lost answer was a yes)."""
        response = self.insist(dict(command=command, **fields))[0]
        if response.get("error") in accept:
            return {}
        need("error" not in response, f"{command} {fields}: {response}")
        return response.get("data", {})

    # --- hubs

    def new_name(self, kind):
        self.names += 1
        return f"{kind}-{os.getpid()}-{self.names}"

    def imported(self, kind="hub"):
        """A hub with a certificate of the other CA, taken over."""
        name = self.new_name(kind)
        identity, pem = self.others.identity(f"{self.tmp}/{name}.pem", name)
        self.told("importCertificate", device=name, certificate=pem)
        return Walker(self, self.page, name, identity)

    def secret_of(self, name):
        ticket = self.told("createTicket", device=name)["ticket"]
        return unb64u(json.loads(unb64u(ticket.split(".", 1)[1]))["secret"])

    def try_as(self, client_id, identity):
        """CONNACK's code, or "closed". Whatever the plugin could not allocate, nobody gets in by that."""
        try:
            return self.connect_code(client_id, identity.path)
        except Timeout:
            return "closed"

    # --- what must hold

    def need_same(self, *names):
        """Registry and ledger tell the same of these devices; the ledger verifies; all is well with the store."""
        status = {}

        def is_written():
            status.update(self.told("status"))
            return not status["ledgerOk"] or status["seq"] == status["durableSeq"]

        wait_until("the last record to be durable", is_written)
        need(status["ledgerOk"], f"store: the ledger is not well: {status}")
        self.fold.read()
        need(self.fold.seq == int(status["seq"]), f"half: the ledger has {self.fold.seq} records, the registry {status['seq']}")
        for name in names:
            self.fold.need_same(name, self.told("getDevice", device=name))

    def all_devices(self):
        """getDevice of every one, without what a restart changes."""
        devices, offset = {}, 0
        while True:
            rows = self.told("listDevices", offset=offset, count=100)["devices"]
            for row in rows:
                said = self.told("getDevice", device=row["device"])
                for key in ("online", "sessions"):
                    said.pop(key, None)
                devices[row["device"]] = said
            if len(rows) < 100:
                return devices
            offset += len(rows)

    def need_restart_same(self, env=None):
        """Killed and started again, it says of every device what it said before: memory had nothing that the disk has not."""
        self.page.disarm()
        before = self.all_devices()
        self.drop_operator()
        self.broker.kill()
        self.start(env)
        after = self.all_devices()
        need(before == after, "half: after a restart: " + str([(before.get(n), after.get(n)) for n in set(before) | set(after)
                                                              if before.get(n) != after.get(n)][:2]))

    def lines_since(self, begin, pattern):
        return re.findall(pattern, self.log_from(begin))
