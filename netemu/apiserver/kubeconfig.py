"""kubeconfig files: where the API is, how to trust it, and who one is.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
from pathlib import Path

from netemu.api.kind import Object
from netemu.apiserver.auth.pki import Pki, write_secret
from netemu.apiserver.auth.user import MASTERS

ADMIN_USER = "kubernetes-admin"


def admin_kubeconfig(pki: Pki, cluster: str, server: str) -> str:
    """YAML with an administrator's certificate; `server` is an https URL."""
    certificate, key = pki.client(ADMIN_USER, (MASTERS,))
    user = {
        "client-certificate-data": _encoded(certificate),
        "client-key-data": _encoded(key),
    }
    return render(cluster, server, pki.ca_pem, f"{cluster}-admin", user)


def render(cluster: str, server: str, ca_pem: bytes, user: str, credentials: Object) -> str:
    """A kubeconfig with one cluster, one user and one context, named after the cluster."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {"server": server, "certificate-authority-data": _encoded(ca_pem)},
            }
        ],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    import yaml  # costs a start 30 ms

    return yaml.safe_dump(document, sort_keys=False)


def write_kubeconfig(path: Path, text: str) -> None:
    """Mode 0600, and never readable by others even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, text.encode())


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
