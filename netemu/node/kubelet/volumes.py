"""A pod's volumes: prepared before its containers start, bound into each that mounts them.

Contents from the API and memory-backed emptyDirs live below the node's run directory (a tmpfs),
other emptyDirs below the cluster's data directory; both go with the pod. A memory-backed emptyDir
with a size limit gets a tmpfs of that size, which the supervisor mounts in its own namespace: the
machine's mounts stay as they are, and the kernel takes it away with the directory.

https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netemu.api import meta, quantity
from netemu.api.kind import Object
from netemu.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from netemu.errors import ApiError
from netemu.node.kubelet.context import NodeContext
from netemu.node.kubelet.environment import expand
from netemu.node.kubelet.states import PROCESS, ContainerState
from netemu.node.kubelet.volumefiles import SubPathError, VolumeError, write_atomically
from netemu.node.kubelet.volumesources import files_of, has_token, signature_of
from netemu.node.supervisor.view import inside

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_MOST_MESSAGE = 4096
_DEVICES = "/dev/termination-log"


class PodVolumes:
    def __init__(self, context: NodeContext, pod: Object) -> None:
        uid = meta.uid(pod)
        self._own = [root / uid for root in context.volume_roots]
        self._quick = self._own[0]
        self.paths: dict[str, Path] = {}
        """Where each volume is, by its name."""
        self._signatures: dict[str, list[Any]] = {}
        """What the files of a volume were made from, by the volume's name."""
        self._sizes: dict[str, int] = {}
        """Bytes that a volume in memory may hold, by its name."""
        self._later: list[Object] = []
        """Volumes that are filled when somebody looks: see `defer_tokens`."""
        self.defer_tokens = False
        """No process of the pod reads its token: sign it with the first command in the pod."""

    async def prepare(self, worker: PodWorker) -> None:
        """Make all volumes of the pod. Raises VolumeError when one cannot be made yet."""
        security = worker.pod["spec"].get("securityContext") or {}
        group = security.get("fsGroup")
        for volume in worker.pod["spec"].get("volumes") or ():
            if volume["name"] not in self.paths:
                self.paths[volume["name"]] = await self._make(worker, volume, group)

    async def refresh(self, worker: PodWorker) -> None:
        """Write anew what has changed in the API."""
        for volume in worker.pod["spec"].get("volumes") or ():
            known = self._signatures.get(volume["name"])
            if known is not None and await signature_of(worker, volume) != known:
                await self._fill(worker, volume)

    async def fill_later(self, worker: PodWorker) -> None:
        """Somebody looks: fill what was put off."""
        volumes, self._later = self._later, []
        for volume in volumes:
            await self._fill(worker, volume)

    async def _fill(self, worker: PodWorker, volume: Object) -> Path | None:
        """Write a volume that is made of keys; None if it is of another kind."""
        signature = await signature_of(worker, volume)
        files = await files_of(worker, volume)
        if files is None:
            return None
        group = (worker.pod["spec"].get("securityContext") or {}).get("fsGroup")
        path: Path = self._quick / volume["name"]
        write_atomically(path, files, group)
        self._signatures[volume["name"]] = signature
        return path

    async def _make(self, worker: PodWorker, volume: Object, group: int | None) -> Path:
        name: str = volume["name"]
        if self.defer_tokens and has_token(volume):
            self._later.append(volume)
            return self._quick / name
        path = await self._fill(worker, volume)
        if path is not None:
            return path
        if volume.get("hostPath") is not None:
            return _host_path(name, volume["hostPath"])
        if volume.get("persistentVolumeClaim") is not None:
            claim = volume["persistentVolumeClaim"].get("claimName", "")
            return await _claimed(worker, name, claim)
        if volume.get("ephemeral") is not None:
            return await _claimed(worker, name, f"{meta.name(worker.pod)}-{name}")
        if volume.get("emptyDir") is not None:
            memory = volume["emptyDir"].get("medium") == "Memory"
            limit = int(quantity.parse(volume["emptyDir"].get("sizeLimit") or 0))
            if memory and limit > 0:
                self._sizes[name] = limit
            return _empty((self._quick if memory else self._own[1] / "volumes") / name, group)
        kind = next((key for key in volume if key != "name"), "volume")
        raise VolumeError(name, f"volumes of type {kind} need a driver that is not here")

    async def mounts(self, state: ContainerState, environment: Mapping[str, str]) -> list[Object]:
        """What to bind into a container, outer paths before inner ones; or SubPathError."""
        mounts: list[Object] = []
        for mount in state.spec.get("volumeMounts") or ():
            path = self.paths.get(mount["name"])
            if path is None:
                raise VolumeError(mount["name"], "no such volume in the pod")
            entry = {"target": mount["mountPath"], **self._source(path, mount, environment)}
            if mount.get("readOnly"):
                entry["readonly"] = True
            if any(volume["name"] == mount["name"] for volume in self._later):
                entry["make"] = True
            mounts.append(entry)
        mounts.sort(key=lambda mount: str(mount["target"]).count("/"))
        return mounts

    def _source(self, path: Path, mount: Object, environment: Mapping[str, str]) -> Object:
        sub = _sub_path(mount, environment)
        size = self._sizes.get(mount["name"])
        if size is None:
            return {"source": _below(path, sub)}
        return {"source": str(path), "size": size, "sub": sub}

    def termination_file(self, worker: PodWorker, state: ContainerState) -> Object:
        """The file in which a container may leave its last words, as a mount."""
        path = _message_path(worker, state)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o666)
        path.chmod(0o666)
        target = state.spec.get("terminationMessagePath") or _DEVICES
        return {"source": str(path), "target": target}

    def termination_message(self, worker: PodWorker, state: ContainerState, code: int) -> str:
        """A container's last words; from its log when it failed and asked for that."""
        if state.runtime != PROCESS:
            return ""
        path = _message_path(worker, state)
        try:
            with path.open("rb") as file:
                words = file.read(_MOST_MESSAGE)
            path.unlink()
        except OSError:
            words = b""
        policy = state.spec.get("terminationMessagePolicy")
        if not words and code and policy == "FallbackToLogsOnError":
            words = _end_of_log(Path(worker.log_path(state)))
        return words.decode("utf-8", "replace")

    async def remove(self) -> None:
        """Delete what is the pod's own."""
        for path in self._own:
            if path.exists():
                await asyncio.to_thread(shutil.rmtree, path, True)


def _message_path(worker: PodWorker, state: ContainerState) -> Path:
    return Path(worker.log_path(state)).with_suffix(".message")


def _empty(path: Path, group: int | None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o2777 if group else 0o777)
    if group:
        os.chown(path, -1, group)
    return path


def _sub_path(mount: Object, environment: Mapping[str, str]) -> str:
    """What `subPath` or `subPathExpr` name in the volume; empty for all of it."""
    sub: str = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        sub = expand_sub_path(mount["subPathExpr"], environment)
    if sub.startswith("/"):
        raise SubPathError(f"error SubPath `{sub}` must not be an absolute path")
    if ".." in sub.split("/"):
        raise SubPathError(f"unable to provision SubPath `{sub}`: must not contain '..'")
    return sub


def _below(path: Path, sub: str) -> str:
    """Where `sub` is in the volume, made when it is not there: never anything outside."""
    if not sub:
        return str(path)
    target = inside(str(path), sub)
    if not os.path.lexists(target):
        os.makedirs(target, mode=0o755, exist_ok=True)
    return target


def expand_sub_path(text: str, environment: Mapping[str, str]) -> str:
    """`subPathExpr` with the container's variables, all of which must be known."""
    missing = [name for name in _VARIABLE.findall(text) if name and name not in environment]
    if missing:
        raise SubPathError(f"missing value for {', '.join(map(repr, missing))} in {text!r}")
    return expand(text, environment)


_VARIABLE = re.compile(r"\$\$|\$\(([^()]+)\)")
_HOST_PATH_TYPES = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def _host_path(name: str, source: Object) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if ".." in path.parts:
        raise VolumeError(name, f"hostPath {path} must not contain '..'")
    if kind == "DirectoryOrCreate" or (not kind and not path.exists()):
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644)
    wanted = _HOST_PATH_TYPES.get(kind.removesuffix("OrCreate"))
    if wanted and not (path.exists() and wanted[0](path.stat().st_mode)):
        raise VolumeError(name, f"hostPath type check failed: {path} is not {wanted[1]}")
    return path


async def _claimed(worker: PodWorker, name: str, claim: str) -> Path:
    """The directory behind a claim's volume."""
    client, space = worker.context.client, meta.namespace(worker.pod)
    try:
        found = await client.get(PERSISTENT_VOLUME_CLAIMS, claim, space)
        volume = found["spec"].get("volumeName")
        if not volume or (found.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(name, f'persistentvolumeclaim "{claim}" is not bound')
        spec = (await client.get(PERSISTENT_VOLUMES, volume))["spec"]
    except ApiError as error:
        raise VolumeError(name, error.message) from error
    source = spec.get("hostPath") or spec.get("local")
    if not source:
        raise VolumeError(name, f'persistentvolume "{volume}" is neither hostPath nor local')
    path = Path(source["path"])
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o777)  # whoever the pod runs as, as the known local provisioners do
    return path


def _end_of_log(path: Path) -> bytes:
    """The last 80 lines or 2 kB of a log, without the CRI columns."""
    try:
        lines = path.read_bytes()[-8192:].splitlines()[-80:]
    except OSError:
        return b""
    text = b"\n".join(line.split(b" ", 3)[-1] for line in lines)
    return text[-2048:]
