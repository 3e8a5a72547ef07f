"""Rules for volumes and for where containers mount them.

https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import names, quantity
from netemu.api.invalid import duplicate, forbidden, invalid, not_found, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.podspec.environment import VOLUME_FIELDS, check_field, check_resource_field

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = frozenset(
    (
        "",
        "DirectoryOrCreate",
        "Directory",
        "FileOrCreate",
        "File",
        "Socket",
        "CharDevice",
        "BlockDevice",
    )
)
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def check_volumes(volumes: list[Any], path: str) -> tuple[dict[str, Object], list[Cause]]:
    """(the good volumes by name, what is wrong)."""
    causes: list[Cause] = []
    good: dict[str, Object] = {}
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = volume.get("name") or ""
        wrong = _check_source(volume, where)
        if not name:
            wrong.append(required(f"{where}.name"))
        else:
            wrong += [invalid(f"{where}.name", name, why) for why in names.dns1123_label(name)]
        if name in good:
            wrong.append(duplicate(f"{where}.name", name))
        if not wrong:
            good[name] = volume
        causes += wrong
    return good, causes


def _check_source(volume: Object, path: str) -> list[Cause]:
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    check = _CHECKS.get(given[0])
    causes = check(volume[given[0]], f"{path}.{given[0]}") if check else []
    causes += [
        forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in given[1:]
    ]
    return causes


def _check_empty_dir(source: Object, path: str) -> list[Cause]:
    limit = source.get("sizeLimit")
    if limit is None or (quantity.is_valid(limit) and quantity.parse(limit) >= 0):
        return []
    return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]


def _check_host_path(source: Object, path: str) -> list[Cause]:
    named, kind = source.get("path") or "", source.get("type") or ""
    if not named:
        return [required(f"{path}.path")]
    causes = no_backsteps(named, f"{path}.path")
    if kind not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return causes


def no_backsteps(text: str, path: str) -> list[Cause]:
    return [invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


def descending(text: str, path: str) -> list[Cause]:
    """A relative path that stays below where it starts."""
    causes = [invalid(path, text, "must be a relative path")] if text.startswith("/") else []
    return causes + no_backsteps(text, path)


def _check_mode(mode: Any, path: str) -> list[Cause]:
    fine = mode is None or 0 <= mode <= 0o777
    return [] if fine else [invalid(path, mode, _MODE)]


def _check_items(items: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("key"):
            causes.append(required(f"{where}.key"))
        if not item.get("path"):
            causes.append(required(f"{where}.path"))
        else:
            causes += descending(item["path"], f"{where}.path")
        causes += _check_mode(item.get("mode"), f"{where}.mode")
    return causes


def _check_secret(source: Object, path: str) -> list[Cause]:
    causes = [] if source.get("secretName") else [required(f"{path}.secretName")]
    causes += _check_mode(source.get("defaultMode"), f"{path}.defaultMode")
    return causes + _check_items(source.get("items") or [], f"{path}.items")


def _check_config_map(source: Object, path: str) -> list[Cause]:
    causes = [] if source.get("name") else [required(f"{path}.name")]
    causes += _check_mode(source.get("defaultMode"), f"{path}.defaultMode")
    return causes + _check_items(source.get("items") or [], f"{path}.items")


def _check_downward(source: Object, path: str) -> list[Cause]:
    causes = _check_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        causes += _check_downward_file(item, f"{path}.items[{index}]")
    return causes


def _check_downward_file(item: Object, path: str) -> list[Cause]:
    causes = (
        descending(item["path"], f"{path}.path") if item.get("path") else [required(f"{path}.path")]
    )
    if item.get("fieldRef") is not None:
        causes += check_field(item["fieldRef"], VOLUME_FIELDS, f"{path}.fieldRef")
    elif item.get("resourceFieldRef") is not None:
        where = f"{path}.resourceFieldRef"
        causes += check_resource_field(item["resourceFieldRef"], where, volume=True)
    else:
        message = "one of fieldRef and resourceFieldRef is required"
        causes.append(required(path, message))
    return causes + _check_mode(item.get("mode"), f"{path}.mode")


def _check_projected(source: Object, path: str) -> list[Cause]:
    causes = _check_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [key for key, value in projection.items() if value is not None]
        if len(given) > 1:
            message = "may not specify more than 1 volume type per source"
            causes.append(forbidden(f"{where}.{given[1]}", message))
        for key in ("secret", "configMap"):
            if projection.get(key) is not None:
                if not projection[key].get("name"):
                    causes.append(required(f"{where}.{key}.name"))
                causes += _check_items(projection[key].get("items") or [], f"{where}.{key}.items")
        token = projection.get("serviceAccountToken")
        if token is not None:
            causes += _check_token(token, f"{where}.serviceAccountToken")
    return causes


def _check_token(token: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seconds = token.get("expirationSeconds", 3600)
    if seconds < 600:
        message = "may not specify a duration less than 10 minutes"
        causes.append(invalid(f"{path}.expirationSeconds", seconds, message))
    if seconds > 1 << 32:
        message = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid(f"{path}.expirationSeconds", seconds, message))
    return causes if token.get("path") else [*causes, required(f"{path}.path")]


def _check_claim(source: Object, path: str) -> list[Cause]:
    return [] if source.get("claimName") else [required(f"{path}.claimName")]


def _check_nfs(source: Object, path: str) -> list[Cause]:
    causes = [] if source.get("server") else [required(f"{path}.server")]
    if not source.get("path"):
        causes.append(required(f"{path}.path"))
    elif not source["path"].startswith("/"):
        causes.append(invalid(f"{path}.path", source["path"], "must be an absolute path"))
    return causes


def _check_ephemeral(source: Object, path: str) -> list[Cause]:
    template = source.get("volumeClaimTemplate")
    return [] if template else [required(f"{path}.volumeClaimTemplate")]


def _check_csi(source: Object, path: str) -> list[Cause]:
    return [] if source.get("driver") else [required(f"{path}.driver")]


_CHECKS = {
    "emptyDir": _check_empty_dir,
    "hostPath": _check_host_path,
    "secret": _check_secret,
    "configMap": _check_config_map,
    "downwardAPI": _check_downward,
    "projected": _check_projected,
    "persistentVolumeClaim": _check_claim,
    "nfs": _check_nfs,
    "ephemeral": _check_ephemeral,
    "csi": _check_csi,
}


def check_mounts(container: Object, volumes: Mapping[str, Object], path: str) -> list[Cause]:
    """`volumes` are those that the pod declares, by name."""
    causes: list[Cause] = []
    seen: set[str] = set()
    devices = {device.get("name") for device in container.get("volumeDevices") or ()}
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        name, point = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        if name not in volumes:
            causes.append(not_found(f"{where}.name", name))
        if not point:
            causes.append(required(f"{where}.mountPath"))
        if point in seen:
            causes.append(invalid(f"{where}.mountPath", point, "must be unique"))
        seen.add(point)
        if name in devices:
            message = "must not already exist in volumeDevices"
            causes.append(invalid(f"{where}.name", name, message))
        causes += _check_mount_options(mount, where)
    for index, device in enumerate(container.get("volumeDevices") or ()):
        causes += _check_device(device, volumes, f"{path}.volumeDevices[{index}]")
    return causes


def _check_mount_options(mount: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("subPath", "subPathExpr"):
        if mount.get(key):
            causes += descending(mount[key], f"{path}.{key}")
    if mount.get("subPath") and mount.get("subPathExpr"):
        message = "subPathExpr and subPath are mutually exclusive"
        causes.append(invalid(f"{path}.subPathExpr", mount["subPathExpr"], message))
    propagation = mount.get("mountPropagation")
    if propagation is not None and propagation not in _PROPAGATIONS:
        causes.append(not_supported(f"{path}.mountPropagation", propagation, _PROPAGATIONS))
    return causes


def _check_device(device: Object, volumes: Mapping[str, Object], path: str) -> list[Cause]:
    name = device.get("name") or ""
    causes = [] if name else [required(f"{path}.name")]
    if name not in volumes:
        causes.append(not_found(f"{path}.name", name))
    elif volumes[name].get("persistentVolumeClaim") is None:
        message = "can only use volume source type of PersistentVolumeClaim for block mode"
        causes.append(invalid(f"{path}.name", name, message))
    if not device.get("devicePath"):
        causes.append(required(f"{path}.devicePath"))
    return causes
