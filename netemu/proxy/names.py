"""The names that kube-proxy gives its chains and sets, hashes included.

A learner who compares a node of ours with a real one finds the same names.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/iptables/proxier.go (portProtoHash)
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/nftables/proxier.go (hashAndTruncate)
"""

from base64 import b32encode
from functools import lru_cache
from hashlib import sha256

from netemu.proxy.model import Endpoint, ServicePort

_NAME_MAX = 240
"""nftables' own limit less the longest prefix."""


def _base32(text: str) -> str:
    return b32encode(sha256(text.encode()).digest()).decode()


@lru_cache(maxsize=200_000)
def _iptables_hash(text: str) -> str:
    return _base32(text)[:16]


def iptables_service(port: ServicePort) -> str:
    """The 16 characters that KUBE-SVC-, KUBE-SVL-, KUBE-EXT- and KUBE-FW- end in."""
    return _iptables_hash(port.key + port.protocol)


def iptables_endpoint(port: ServicePort, endpoint: Endpoint) -> str:
    return "KUBE-SEP-" + _iptables_hash(port.key + port.protocol + endpoint.text)


@lru_cache(maxsize=200_000)
def _nft_name(text: str) -> str:
    name = f"{_base32(text)[:8]}-{text}"
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 3] + "..."


def nft_service(port: ServicePort) -> str:
    """`HASH8-ns/name/proto/port`: goes behind `service-`, `local-`, `external-`, `firewall-`."""
    return _nft_name(f"{port.namespace}/{port.name}/{port.protocol}/{port.port_name}")


def nft_endpoint(port: ServicePort, endpoint: Endpoint) -> str:
    """`HASH8-ns/name/proto/port__ip/port`, colons of IPv6 as dots."""
    address = endpoint.address.replace(":", ".")
    return _nft_name(
        f"{port.namespace}/{port.name}/{port.protocol}/{port.port_name}__{address}/{endpoint.port}"
    )
