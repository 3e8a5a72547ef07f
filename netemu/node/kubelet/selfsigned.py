"""A certificate that nobody vouches for: what the agnhost image has for its TLS servers.

https://github.com/kubernetes/kubernetes/tree/master/test/images/agnhost/porter
"""

from __future__ import annotations

import datetime
from functools import cache


@cache
def self_signed() -> str:
    """Certificate and key for `localhost` as PEM, the same as long as the daemon runs."""
    from cryptography import x509  # hardly any cluster needs it
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return (certificate.public_bytes(pem) + private).decode()
