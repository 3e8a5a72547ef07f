"""A pod's volumes in a description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netemu.cli.describe.page import NONE, UNSET, Page

Source = Mapping[str, Any]
Lines = list[tuple[str, Any]]


def write_volumes(page: Page, volumes: Sequence[Source], *, indent: str = "") -> None:
    page.line(f"{indent}Volumes:" + ("" if volumes else f"\t{NONE}"))
    for volume in volumes:
        page.line(f"{' ' if indent else ''}{volume['name']}:", level=1)
        kind = next((kind for kind in _KINDS if volume.get(kind) is not None), "")
        if not kind:
            page.line("<unknown>", level=1)
            continue
        title, describe = _KINDS[kind]
        page.field("Type", title, level=2)
        page.fields(describe(volume[kind]), level=2)
        if kind == "downwardAPI":
            _items(page, volume[kind])


def _optional(source: Source) -> str:
    return str(bool(source.get("optional"))).lower()


def _host_path(source: Source) -> Lines:
    return [("Path", source["path"]), ("HostPathType", source.get("type") or "")]


def _empty_dir(source: Source) -> Lines:
    return [("Medium", source.get("medium", "")), ("SizeLimit", source.get("sizeLimit") or UNSET)]


def _secret(source: Source) -> Lines:
    return [("SecretName", source.get("secretName", "")), ("Optional", _optional(source))]


def _config_map(source: Source) -> Lines:
    return [("Name", source.get("name", "")), ("Optional", _optional(source))]


def _claim(source: Source) -> Lines:
    read_only = str(bool(source.get("readOnly"))).lower()
    return [("ClaimName", source["claimName"]), ("ReadOnly", read_only)]


def _items(page: Page, source: Source) -> None:
    page.line("Items:", level=2)
    for item in source.get("items") or ():
        field = (item.get("fieldRef") or {}).get("fieldPath")
        field = field or (item.get("resourceFieldRef") or {}).get("resource", "")
        page.line(f"{field} -> {item['path']}", level=3)


def _projected(source: Source) -> Lines:
    lines: Lines = []
    for each in source.get("sources") or ():
        if "serviceAccountToken" in each:
            seconds = each["serviceAccountToken"].get("expirationSeconds", 3600)
            lines.append(("TokenExpirationSeconds", seconds))
        elif "downwardAPI" in each:
            lines.append(("DownwardAPI", "true"))
        else:
            kind = "ConfigMapName" if "configMap" in each else "SecretName"
            reference = each.get("configMap") or each.get("secret") or {}
            lines += [(kind, reference.get("name", "")), ("Optional", _optional(reference))]
    return lines


def _ephemeral(source: Source) -> Lines:
    spec = (source.get("volumeClaimTemplate") or {}).get("spec") or {}
    return [("StorageClass", spec.get("storageClassName", ""))]


def _nothing(source: Source) -> Lines:
    return []


_KINDS: dict[str, tuple[str, Callable[[Source], Lines]]] = {
    "hostPath": ("HostPath (bare host directory volume)", _host_path),
    "emptyDir": ("EmptyDir (a temporary directory that shares a pod's lifetime)", _empty_dir),
    "secret": ("Secret (a volume populated by a Secret)", _secret),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", _config_map),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        _claim,
    ),
    "projected": (
        "Projected (a volume that contains injected data from multiple sources)",
        _projected,
    ),
    "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", _nothing),
    "ephemeral": (
        "EphemeralVolume (an inline specification for a volume that gets created and deleted"
        " with the pod)",
        _ephemeral,
    ),
    "nfs": ("NFS (an NFS mount that lasts the lifetime of a pod)", _nothing),
    "csi": ("CSI (a Container Storage Interface (CSI) volume source)", _nothing),
}
