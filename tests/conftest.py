"""What every tier shares: how generated tests run, and a real etcd of a test's own.

The machine may be busy, so generated tests are judged by what they find and not by their time; and
they try the same examples each time, so that a change is judged by itself. `NETEMU_RANDOM=1` tries
new ones, and scripts/fuzz thousands.
"""

import contextlib
import datetime
import ipaddress
import os
import random
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings

from netemu.apiserver.auth.pki import private_pem

settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
    derandomize="NETEMU_RANDOM" not in os.environ,
)
settings.load_profile("patient")


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 below those that the kernel gives out itself, to whoever asks next."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(1024, first)
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
        return found


class Etcd:
    """A real etcd on free ports; NETEMU_ETCD may name the program. It may die and come back."""

    def __init__(self, folder: Path, *more: str, pki: Path | None = None) -> None:
        program = os.environ.get("NETEMU_ETCD") or shutil.which("etcd")
        if program is None:
            pytest.skip("no etcd on this machine: apt install etcd-server")
        ports = _free_ports(2)
        self.port = ports[0]
        self.url = f"http{'s' if pki else ''}://127.0.0.1:{ports[0]}"
        peer = f"http://127.0.0.1:{ports[1]}"
        self._command = [
            *(program, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--name", "test"),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"test={peer}", *more),
        ]
        self._context = None
        if pki is not None:
            files = {name: str(pki / f"{name}.pem") for name in ("ca", "cert", "key")}
            self._command += ["--client-cert-auth", "--trusted-ca-file", files["ca"]]
            self._command += ["--cert-file", files["cert"], "--key-file", files["key"]]
            self._context = ssl.create_default_context(cafile=files["ca"])
            self._context.load_cert_chain(files["cert"], files["key"])
        self.start()

    def start(self) -> None:
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=silent, stderr=silent)
        end = time.monotonic() + 60
        while True:
            try:
                url = f"{self.url}/health"
                with urllib.request.urlopen(url, timeout=1, context=self._context) as answer:
                    if b"true" in answer.read():
                        return
            except OSError:
                assert time.monotonic() < end, "etcd did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def make_etcd(tmp_path: Path) -> Iterator[Callable[..., Etcd]]:
    """Starts an etcd with further flags, in a directory of the test's own."""
    made: list[Etcd] = []

    def make(*more: str, pki: Path | None = None) -> Etcd:
        made.append(Etcd(tmp_path / f"etcd-{len(made)}", *more, pki=pki))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def etcd(make_etcd: Callable[..., Etcd]) -> str:
    """The client URL of an etcd of the test's own."""
    return make_etcd().url


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A directory with `ca.pem`, and `cert.pem` and `key.pem` for both sides, as kubeadm's."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(private_pem(key))
    return folder
