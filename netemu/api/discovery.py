"""Discovery: which groups, versions and resources there are, in the old and the new form.

`kinds` are the stored kinds; the versions that they are also served in follow from them.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from netemu.api.kind import Kind, Object
from netemu.api.versions import served

_CHANGE = ["get", "patch", "update"]
_PROXY = ["create", "delete", "get", "patch", "update"]
_SUBRESOURCES: dict[str, tuple[str, str, str, list[str]]] = {
    "approval": ("", "", "", _CHANGE),
    "attach": ("", "", "PodAttachOptions", ["create", "get"]),
    "binding": ("", "", "Binding", ["create"]),
    "ephemeralcontainers": ("", "", "", _CHANGE),
    "eviction": ("policy", "v1", "Eviction", ["create"]),
    "exec": ("", "", "PodExecOptions", ["create", "get"]),
    "finalize": ("", "", "", ["update"]),
    "log": ("", "", "", ["get"]),
    "portforward": ("", "", "PodPortForwardOptions", ["create", "get"]),
    "resize": ("", "", "", _CHANGE),
    "scale": ("autoscaling", "v1", "Scale", _CHANGE),
    "status": ("", "", "", _CHANGE),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ["create"]),
}
"""Subresource: group, version and kind of its body where they are not the parent's; verbs."""
_FIRST = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)
"""The built-in groups in the real server's order; others follow by name."""
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    found = _VERSION.fullmatch(version)
    if not found:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0), version)


def by_group(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    """group → version → the kinds in it; groups and versions in the order of preference."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in kinds:
        for each in served(kind):
            found.setdefault(each.group, {}).setdefault(each.version, []).append(each)

    def place(group: str) -> tuple[int, str]:
        return (_FIRST.index(group) if group in _FIRST else len(_FIRST), group)

    return {
        group: {
            version: sorted(found[group][version], key=lambda kind: kind.plural)
            for version in sorted(found[group], key=version_order)
        }
        for group in sorted(found, key=place)
    }


def api_versions(server_address: str) -> Object:
    """`/api`. `server_address` is host:port as clients reach it."""
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [address],
    }


def group_list(kinds: Iterable[Kind]) -> Object:
    """`/apis`."""
    groups = by_group(kinds)
    listed = [_group(name, groups[name]) for name in groups if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(kinds: Iterable[Kind], name: str) -> Object | None:
    """`/apis/{name}`; None when there is no such group."""
    found = by_group(kinds).get(name)
    if not name or found is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, found)}


def _group(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(kinds: Iterable[Kind], group: str, version: str) -> Object | None:
    """`/api/v1` and `/apis/{group}/{version}`; None when there is no such version."""
    found = by_group(kinds).get(group, {}).get(version)
    if found is None:
        return None
    resources = [entry for kind in found for entry in _resources(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _resources(kind: Kind) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": singular(kind),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if "list" in kind.verbs:
        entry["storageVersionHash"] = _storage_hash(kind)
    subresources = []
    for name in sorted(kind.subresources):
        group, version, body, verbs = _subresource(kind, name)
        sub: dict[str, Any] = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": body,
            "verbs": verbs,
        }
        if (group, version) != (kind.group, kind.version):
            sub |= {"group": group, "version": version}
        subresources.append(sub)
    return [entry, *subresources]


def singular(kind: Kind) -> str:
    return kind.singular or kind.kind.lower()


def _subresource(kind: Kind, name: str) -> tuple[str, str, str, list[str]]:
    """(group, version, kind, verbs) of a subresource's body."""
    if name == "proxy":
        return kind.group, kind.version, f"{kind.kind}ProxyOptions", _PROXY
    group, version, body, verbs = _SUBRESOURCES.get(name, ("", "", "", ["get"]))
    if group:
        return group, version, body, verbs
    return kind.group, kind.version, body or kind.kind, verbs


def _storage_hash(kind: Kind) -> str:
    named = f"{kind.group}/{kind.version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(named.encode()).digest()[:8]).decode()


def aggregated(kinds: Iterable[Kind], *, core: bool, version: str = "v2") -> Object:
    """All in one: the APIGroupDiscoveryList of `/api` (`core`) or `/apis`. v2 or v2beta1."""
    items = []
    for name, versions in by_group(kinds).items():
        if (name == "") is not core:
            continue
        metadata: dict[str, Any] = {"creationTimestamp": None}
        if name:
            metadata["name"] = name
        listed = [
            {
                "version": each,
                "resources": [_discovered(kind) for kind in found],
                "freshness": "Current",
            }
            for each, found in versions.items()
        ]
        items.append({"metadata": metadata, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _discovered(kind: Kind) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _response(kind.group, kind.version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": singular(kind),
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [_sub_discovered(kind, name) for name in sorted(kind.subresources)]
    return entry


def _sub_discovered(kind: Kind, name: str) -> dict[str, Any]:
    group, version, body, verbs = _subresource(kind, name)
    return {"subresource": name, "responseKind": _response(group, version, body), "verbs": verbs}


def _response(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
