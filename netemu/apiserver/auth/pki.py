"""The cluster's own certificate authority and keys, kept with mode 0600.

kubeadm's file names. https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 3650
_BEFORE = datetime.timedelta(hours=1)  # clocks of several machines may differ a little


class Pki:
    """Keys and certificates below one directory; what is missing is made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = self.key("ca")
        self._ca = self._authority()

    @property
    def ca_pem(self) -> bytes:
        return self._ca.public_bytes(serialization.Encoding.PEM)

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """The private key `name`, made at the first call."""
        path = self.directory / f"{name}.key"
        if path.exists():
            found = serialization.load_pem_private_key(path.read_bytes(), None)
            assert isinstance(found, ec.EllipticCurvePrivateKey)
            return found
        made = ec.generate_private_key(ec.SECP256R1())
        write_secret(path, private_pem(made))
        return made

    def _authority(self) -> x509.Certificate:
        path = self.directory / "ca.crt"
        if path.exists():
            return x509.load_pem_x509_certificate(path.read_bytes())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        usage = x509.KeyUsage(True, False, True, False, False, True, True, False, False)
        made = (
            _builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return made

    def client(self, user: str, groups: Iterable[str] = ()) -> tuple[bytes, bytes]:
        """(certificate, key) in PEM by which a client is `user` with `groups`."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._leaf(key, attributes, ExtendedKeyUsageOID.CLIENT_AUTH), private_pem(key)

    def server(self, names: Iterable[str]) -> tuple[bytes, bytes]:
        """(certificate, key) in PEM for a server with these DNS names and addresses."""
        key = self.key("apiserver")
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]
        found = self._leaf(key, attributes, ExtendedKeyUsageOID.SERVER_AUTH, names)
        return found, private_pem(key)

    def _leaf(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: list[x509.NameAttribute[str]],
        purpose: x509.ObjectIdentifier,
        names: Iterable[str] = (),
    ) -> bytes:
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = (
            _builder(x509.Name(subject), self._ca.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        alternatives = [_general_name(name) for name in dict.fromkeys(names)]
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    def server_context(self, names: Iterable[str]) -> ssl.SSLContext:
        """TLS for a listener; client certificates are asked for and may be absent."""
        certificate, key = self.server(names)
        path = self.directory / "apiserver.pem"  # ssl can only read files
        write_secret(path, certificate + key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=self.ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, never readable even for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
