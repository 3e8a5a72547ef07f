"""What a container sees of files: the machine's own (or a rootfs), with a private layer on top.

An overlay of `/` with a tmpfs for what the container writes. Measured: 0.16 ms with the files in
/etc written into the layer; binding each of them, and a tmpfs over each directory that programs
write to, costs more and leaves everything else shared. The tmpfs belongs to the container's mount
namespace, so it is gone when the container is: nothing to delete.

https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import contextlib
import os

from netemu.node.supervisor import kernel
from netemu.node.supervisor.wire import Message

LAYER_SIZE = "512m"
"""How much one container may write beside its volumes."""
_MASKED = (("tmp", 0o1777), ("var/tmp", 0o1777), ("run", 0o755))
"""Directories of the machine that start empty in a container."""
_REAL = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "f2fs",
        "zfs",
        "bcachefs",
        "nfs",
        "nfs4",
        "9p",
        "virtiofs",
        "vboxsf",
    ]
)
_KEPT = _REAL | {"tmpfs", "devtmpfs", "cgroup", "cgroup2"}


class Base:
    """What all containers of a node start from, prepared once in the supervisor's namespace."""

    __slots__ = ("directory", "extra", "layer", "devices", "overlay")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.layer = f"{directory}/layer"
        self.devices = f"{directory}/dev"
        self.extra: list[str] = []
        """Further file systems of the machine that a program may need: /usr, /home, /vagrant."""
        self.overlay = True


def prepare(directory: str, needed: tuple[str, ...] = ()) -> Base:
    """Give the supervisor a mount namespace that is cheap to copy, with a /dev for containers.

    A container starts with a copy of all mounts; a thousand named network namespaces in it would
    cost a thousand mounts a container. File systems that hold a path of `needed` stay.
    """
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    base = Base(directory)
    base.extra = _prune_mounts((directory, *needed))
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
    os.makedirs(base.layer, exist_ok=True)
    os.makedirs(base.devices, exist_ok=True)
    _make_devices(base.devices)
    return base


def _prune_mounts(needed: tuple[str, ...]) -> list[str]:
    """Unmount what no container needs; return the real file systems other than `/`."""
    extra = []
    with open("/proc/self/mountinfo") as table:
        rows = [line.split() for line in table]
    for row in reversed(rows):
        point, kind = _unescape(row[4]), row[row.index("-") + 1]
        if point in ("/", "/proc", "/sys"):
            continue  # detaching one would take what is mounted below it along
        if any(path.startswith(point + "/") for path in needed):
            continue
        if kind not in _KEPT or point.startswith("/run/netns"):
            _try_unmount(point)
        elif kind in _REAL and os.path.isdir(point) and not point.startswith("/boot"):
            extra.append(point)
    extra.reverse()
    return extra


def _try_unmount(point: str) -> None:
    with contextlib.suppress(OSError):  # hidden below another mount: as good as gone
        kernel.unmount(point)


def _unescape(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _make_devices(path: str) -> None:
    kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID, "mode=0755,size=64k")
    nodes = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9))
    for name, major, minor in (*nodes, ("tty", 5, 0)):
        os.mknod(f"{path}/{name}", 0o020666, os.makedev(major, minor))
        os.chmod(f"{path}/{name}", 0o666)
    os.close(os.open(f"{path}/termination-log", os.O_WRONLY | os.O_CREAT, 0o666))
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{path}/{name}")
    links = (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"))
    for name, target in (*links, ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        os.symlink(target, f"{path}/{name}")
    os.mkdir(f"{path}/busybox")
    kernel.mount("tmpfs", f"{path}/busybox", "tmpfs", kernel.MS_NOSUID, "mode=0755,size=64k")
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    kernel.mount("devpts", f"{path}/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)
    # Containers share it: read-only, so that none can take /dev/null from the others.
    kernel.mount("none", path, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)


def link_applets(base: Base) -> None:
    """Fill /dev/busybox, the last directory in every container's PATH, with all its commands.

    Manifests that were written for small images find `nc` or `httpd` on machines without them.
    It takes some milliseconds, so it is done when the supervisor already serves.
    """
    path = f"{base.devices}/busybox"
    programs = [f"{directory}/busybox" for directory in ("/usr/bin", "/bin", "/usr/local/bin")]
    program = next((name for name in programs if os.access(name, os.X_OK)), None)
    if program is None:
        return
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)]
    pid = os.posix_spawn(program, [program, "--list"], {}, file_actions=actions)
    os.close(writer)
    with open(reader) as listing:
        names = listing.read().split()
    os.waitpid(pid, 0)
    for name in names:
        with contextlib.suppress(OSError):
            os.symlink(program, f"{path}/{name}")
    kernel.mount("none", path, flags=kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID)


def enter(base: Base, spec: Message, files: Message) -> None:
    """Build the view in this process' own new mount namespace and make it the root.

    `files` are path → text, relative to the root. Call after entering the network and PID
    namespaces: /sys and /proc show those.
    """
    layer = base.layer
    kernel.mount(
        "tmpfs", layer, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=0755,size={LAYER_SIZE}"
    )
    root = f"{layer}/root"
    for name in ("upper", "work", "root"):
        os.mkdir(f"{layer}/{name}")
    lower = spec.get("rootfs") or "/"
    if base.overlay:
        _fill_layer(f"{layer}/upper", files, masked=lower == "/")
        _overlay(lower, layer, root)
    else:
        _plain(lower, root, layer, files)
    if lower == "/":
        for point in base.extra:
            _further(point, root, layer, base.overlay)
    _mount_kernel_files(base, root, bool(spec.get("privileged")))
    for volume in spec.get("mounts") or ():
        _mount_volume(volume, root)
    if spec.get("readonly"):
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount("none", root, flags=flags | kernel.MS_NODEV | kernel.MS_NOSUID)
    os.chdir(root)
    kernel.mount(root, "/", flags=kernel.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def _fill_layer(upper: str, files: Message, *, masked: bool) -> None:
    os.mkdir(f"{upper}/etc", 0o755)
    for path, text in files.items():
        _write(f"{upper}/{path}", text)
    if not masked:
        return
    os.mkdir(f"{upper}/var", 0o755)
    os.umask(0)
    for name, mode in _MASKED:
        os.mkdir(f"{upper}/{name}", mode)
        os.setxattr(f"{upper}/{name}", "trusted.overlay.opaque", b"y")
    os.umask(0o022)


def _write(path: str, text: str) -> None:
    mode = 0o755 if text.startswith("#!") else 0o644
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _overlay(lower: str, layer: str, root: str) -> None:
    escaped = lower.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
    options = f"lowerdir={escaped},upperdir={layer}/upper,workdir={layer}/work"
    kernel.mount("overlay", root, "overlay", kernel.MS_NODEV, options)


def _plain(lower: str, root: str, layer: str, files: Message) -> None:
    """Where the kernel has no overlay for this root: shared files, private directories."""
    kernel.mount(lower, root, flags=kernel.MS_BIND)
    for name in ("tmp", "var/tmp", "run", "var/log"):
        if os.path.isdir(f"{root}/{name}"):
            kernel.mount("tmpfs", f"{root}/{name}", "tmpfs", options="mode=1777")
    for path, text in files.items():
        _write(f"{layer}/upper/{path}", text)
        if os.path.exists(f"{root}/{path}"):
            kernel.mount(f"{layer}/upper/{path}", f"{root}/{path}", flags=kernel.MS_BIND)


def _further(point: str, root: str, layer: str, overlay: bool) -> None:
    target = root + point
    if not os.path.isdir(target):
        return
    if overlay:
        own = f"{layer}/further{point.replace('/', '-')}"
        for name in ("", "/upper", "/work"):
            os.mkdir(own + name)
        try:
            _overlay(point, own, target)
            return
        except OSError:
            pass  # not every file system can be a lower layer: share it instead
    kernel.mount(point, target, flags=kernel.MS_BIND)


def _mount_kernel_files(base: Base, root: str, privileged: bool) -> None:
    for name in ("proc", "sys", "dev"):
        if not os.path.isdir(f"{root}/{name}"):
            os.mkdir(f"{root}/{name}", 0o755)
    safe = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", f"{root}/proc", "proc", safe)
    kernel.mount("sysfs", f"{root}/sys", "sysfs", safe if privileged else safe | kernel.MS_RDONLY)
    kernel.mount(base.devices, f"{root}/dev", flags=kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("tmpfs", f"{root}/dev/shm", "tmpfs", safe, "mode=1777,size=64m")


def limit_volumes(spec: Message) -> None:
    """Put a tmpfs of its size over each volume in memory that has one and lacks it yet.

    Called in the supervisor's own namespace, so that all containers of the pod find the same.
    Nobody unmounts it: that is what the kernel does where a mounted directory is removed from
    another namespace, https://lwn.net/Articles/570338/.
    """
    for volume in spec.get("mounts") or ():
        if "size" not in volume or os.path.ismount(volume["source"]):
            continue
        there = os.stat(volume["source"])
        options = f"size={volume['size']},mode={there.st_mode & 0o7777:o},gid={there.st_gid}"
        kernel.mount(
            "tmpfs", volume["source"], "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options
        )


def _mount_volume(volume: Message, root: str) -> None:
    """Bind a file or directory of the node, or a new tmpfs, into the container."""
    source, target = volume.get("source", ""), inside(root, volume["target"])
    if volume.get("kind") == "tmpfs":
        os.makedirs(target, exist_ok=True)
        kernel.mount("tmpfs", target, "tmpfs", options=volume.get("options", ""))
        return
    if volume.get("sub"):
        source = inside(source, volume["sub"])
    if volume.get("make") or volume.get("sub"):
        os.makedirs(source, exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o644))
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    if volume.get("readonly"):
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount("none", target, flags=flags)


def inside(root: str, path: str) -> str:
    """Where `path` is below `root`, with symbolic links followed as a process in there would.

    A link to an absolute path, or `..`, never leads out (as runc's securejoin).
    """
    resolved: list[str] = []
    parts = [part for part in path.split("/") if part and part != "."][::-1]
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del resolved[-1:]
            continue
        try:
            link = os.readlink("/".join((root, *resolved, part)))
        except OSError:
            resolved.append(part)
            continue
        links += 1
        if links > 40:
            raise OSError(40, f"too many symbolic links in {path}")
        if link.startswith("/"):
            resolved = []
        parts += [step for step in link.split("/") if step and step != "."][::-1]
    return "/".join((root, *resolved))
