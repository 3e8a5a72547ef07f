"""forward: DNS over TLS (RFC 7858) to an upstream of the tests' own."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading

import dns.message
import dns.rcode
import pytest

from scenarios.dns.questions import ask, corefile, rcode, values

NAME = "www.example.test."


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """(CA, server's, client's) files: the server is dns.test or 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("pki")
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)

    def make(name: str, issuer=None, ca: bool = False):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        signer, by = issuer or (key, subject)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(signer, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, plain)
        )
        return key, subject

    ca = make("ca.test", ca=True)
    make("dns.test", ca)
    make("client.test", ca)
    make("stranger.test")
    return folder


class Server:
    """Speaks DNS over TLS; answers with 192.0.2.1. Remembers the names that it was asked for."""

    def __init__(self, folder, *, mutual: bool) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "dns.test.pem", folder / "dns.test.key")
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(folder / "ca.test.pem")
        self.names: list[str | None] = []
        context.sni_callback = lambda sock, name, context: self.names.append(name)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.context = context
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(plain,), daemon=True).start()

    def talk(self, plain: socket.socket) -> None:
        try:
            with self.context.wrap_socket(plain, server_side=True) as stream:
                while head := stream.recv(2):
                    query = dns.message.from_wire(stream.recv(int.from_bytes(head, "big")))
                    reply = dns.message.make_response(query)
                    name = query.question[0].name
                    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
                    data = reply.to_wire()
                    stream.sendall(len(data).to_bytes(2, "big") + data)
        except OSError:
            plain.close()


@pytest.fixture
def server(certificates):
    made = []

    def start(*, mutual: bool = False) -> Server:
        made.append(Server(certificates, mutual=mutual))
        return made[-1]

    yield start
    for each in made:
        each.socket.close()


def resolver_for(start_resolver, server, *options: str, name: str = ""):
    lines = "\n".join(options)
    to = f"tls://127.0.0.1{name}:{server.port}"
    return start_resolver(corefile("errors", f"forward . {to} {{\n{lines}\n}}"))


def test_the_ca_that_is_named_is_trusted(start_resolver, server, certificates):
    upstream = server()
    resolver = resolver_for(start_resolver, upstream, f"tls {certificates / 'ca.test.pem'}")
    for _ in range(3):
        assert values(ask(resolver, NAME)) == ["192.0.2.1"]


def test_nobody_else_is(start_resolver, server, certificates):
    for option in ("", "tls", f"tls {certificates / 'stranger.test.pem'}"):
        resolver = resolver_for(start_resolver, server(), option)
        assert rcode(ask(resolver, NAME)) == "SERVFAIL"
        assert "certificate verify failed" in resolver.text()


def test_the_name_that_the_certificate_must_have(start_resolver, server, certificates):
    ca = f"tls {certificates / 'ca.test.pem'}"
    good = server()
    resolver = resolver_for(start_resolver, good, ca, "tls_servername dns.test")
    assert values(ask(resolver, NAME)) == ["192.0.2.1"]
    assert good.names[0] == "dns.test"
    resolver = resolver_for(start_resolver, server(), ca, "tls_servername other.test")
    assert rcode(ask(resolver, NAME)) == "SERVFAIL"
    own = server()
    resolver = resolver_for(start_resolver, own, ca, name="%dns.test")
    assert values(ask(resolver, NAME)) == ["192.0.2.1"]
    assert own.names[0] == "dns.test"


def test_a_certificate_of_our_own(start_resolver, server, certificates):
    files = " ".join(str(certificates / f) for f in ("client.test.pem", "client.test.key"))
    ca = certificates / "ca.test.pem"
    resolver = resolver_for(start_resolver, server(mutual=True), f"tls {files} {ca}")
    assert values(ask(resolver, NAME)) == ["192.0.2.1"]
    resolver = resolver_for(start_resolver, server(mutual=True), f"tls {ca}")
    assert rcode(ask(resolver, NAME)) == "SERVFAIL"
