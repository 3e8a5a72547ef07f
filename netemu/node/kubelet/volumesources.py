"""The contents of volumes that come from the API: configMap, secret, downwardAPI, projected.

https://kubernetes.io/docs/concepts/storage/projected-volumes/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netemu.api import meta
from netemu.api.kind import Object
from netemu.errors import ApiError
from netemu.node.kubelet.environment import PodFacts, data_of, field_value, resource_value
from netemu.node.kubelet.starting import get_config
from netemu.node.kubelet.volumefiles import VolumeError, VolumeFile, checked_path, choose_keys

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_MODE = 0o644
_UNKNOWN = frozenset(("clusterTrustBundle", "podCertificate"))
_RENEW = 0.5
"""Part of a token's lifetime after which the file gets a new one (Kubernetes: at 0.8)."""


async def files_of(worker: PodWorker, volume: Object) -> dict[str, VolumeFile] | None:
    """What a volume holds; None for a volume that is not made of keys."""
    name = volume["name"]
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        source = volume.get(field)
        if source is not None:
            return await _keys(worker, name, kind, source, source.get("defaultMode", _MODE))
    if volume.get("downwardAPI") is not None:
        source = volume["downwardAPI"]
        return _downward(worker, name, source, source.get("defaultMode", _MODE))
    if volume.get("projected") is not None:
        return await _projected(worker, name, volume["projected"])
    return None


async def _keys(
    worker: PodWorker, volume: str, kind: str, source: Object, mode: int
) -> dict[str, VolumeFile]:
    named = source.get("secretName") or source.get("name") or ""
    optional = bool(source.get("optional"))
    found = await get_config(worker, kind, named)
    if found is None:
        if optional:
            return {}
        raise VolumeError(volume, f'{kind.lower()} "{named}" not found')
    data = data_of(kind, found)
    return choose_keys(volume, data, source.get("items"), mode, optional=optional)


def _downward(worker: PodWorker, volume: str, source: Object, mode: int) -> dict[str, VolumeFile]:
    facts = PodFacts(pod_ips=tuple(worker.ips), host_ips=tuple(worker.context.addresses))
    files = {}
    for item in source.get("items") or ():
        if item.get("fieldRef"):
            text = field_value(worker.pod, item["fieldRef"].get("fieldPath", ""), facts)
        else:
            text = resource_value(worker.pod, {}, item.get("resourceFieldRef") or {}, facts)
        path = checked_path(volume, item["path"])
        files[path] = VolumeFile(text.encode(), item.get("mode") or mode)
    return files


async def _projected(worker: PodWorker, volume: str, source: Object) -> dict[str, VolumeFile]:
    mode = source.get("defaultMode", _MODE)
    files: dict[str, VolumeFile] = {}
    for part in source.get("sources") or ():
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if part.get(field) is not None:
                files |= await _keys(worker, volume, kind, part[field], mode)
        if part.get("downwardAPI") is not None:
            files |= _downward(worker, volume, part["downwardAPI"], mode)
        if part.get("serviceAccountToken") is not None:
            wanted = part["serviceAccountToken"]
            token = await _token(worker, volume, wanted)
            files[checked_path(volume, wanted["path"])] = VolumeFile(token.encode(), mode)
        for kind in _UNKNOWN & part.keys():
            raise VolumeError(volume, f"projections of {kind} are not supported here")
    return files


async def signature_of(worker: PodWorker, volume: Object) -> list[Any]:
    """A value that changes whenever `files_of` would give something else: cheap to compare."""
    found: list[Any] = []
    parts = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for part in parts:
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            source = part.get(field)
            if source is not None:
                named = source.get("secretName") or source.get("name") or ""
                obj = await get_config(worker, kind, named)
                found.append((kind, named, meta.revision(obj) if obj else 0))
        if part.get("downwardAPI") is not None:
            found += [meta.labels(worker.pod), meta.annotations(worker.pod), tuple(worker.ips)]
        if part.get("serviceAccountToken") is not None:
            lifetime = part["serviceAccountToken"].get("expirationSeconds") or 3600
            found.append(worker.context.clock.now() // (lifetime * _RENEW))
    return found


def has_token(volume: Object) -> bool:
    sources = (volume.get("projected") or {}).get("sources") or ()
    return any(source.get("serviceAccountToken") is not None for source in sources)


async def _token(worker: PodWorker, volume: str, wanted: Object) -> str:
    """A token for the pod's service account, bound to the pod."""
    pod = worker.pod
    account = pod["spec"].get("serviceAccountName") or "default"
    tokens = worker.context.tokens
    if tokens is None:
        raise VolumeError(volume, "this cluster issues no service account tokens")
    space = meta.namespace(pod)
    try:
        return await tokens(space, account, wanted.get("audience") or "", wanted, pod)
    except ApiError as error:
        raise VolumeError(volume, f"failed to fetch token: {error.message}") from error
