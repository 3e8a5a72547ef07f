"""What an image's name means here: a command on files of this machine, or a stand-in.

There is no registry. The user's entries come first, then the well-known images below. An image
that nobody knows runs the pod's `command` on the machine's own files; without one a stand-in
answers on its ports. `strict` refuses unknown images as a registry would.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache

from netemu.config import ClusterConfig, ImageConfig
from netemu.node.agnhost import SCRIPT

Which = Callable[[str], str | None]
"""Name of a program → its path on this machine, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a stand-in serves; `protocol` is TCP or UDP."""

    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to run an image. With `standin` None it has no server that could be stood in for."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    rootfs: str = ""
    cwd: str = ""
    standin: str | None = None
    ports: tuple[Port, ...] = ()
    """Ports of the stand-in when the container declares none."""
    binds: tuple[str, ...] = ()
    """Paths of the machine that it sees although they are masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command to run on files of this machine, or on `rootfs`."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    rootfs: str = ""
    cwd: str = ""
    binds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A container that the stand-ins serve; `program` chooses the answers."""

    program: str
    ports: tuple[Port, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such image, and the cluster is strict."""

    message: str


def _server(*ports: int, command: Sequence[str] = (), standin: str = "") -> Recipe:
    wanted = tuple(Port(port=port) for port in ports)
    return Recipe(command=tuple(command), standin=standin, ports=wanted)


# As in the real images these are their CMD, which a container's `args` replace as a whole.
_SHELL = Recipe(args=("sh",))
_BASH = Recipe(args=("bash",))
_PAUSE = Recipe(command=("/pause",), standin="pause")
_FOREVER = Recipe(args=("sleep", "infinity"))

BUILT_IN: Mapping[str, Recipe] = {
    "nginx": _server(80, command=("nginx", "-g", "daemon off;")),
    "httpd": _server(80, command=("apache2ctl", "-D", "FOREGROUND")),
    "apache": _server(80, command=("apache2ctl", "-D", "FOREGROUND")),
    "redis": _server(6379, command=("redis-server", "--protected-mode", "no", "--save", "")),
    "busybox": _SHELL,
    "alpine": _SHELL,
    "curl": Recipe(command=("curl",)),
    "debian": _BASH,
    "ubuntu": _BASH,
    "netshoot": _BASH,
    "dnsutils": _FOREVER,
    "jessie-dnsutils": _FOREVER,
    "pause": _PAUSE,
    "agnhost": Recipe(command=("/agnhost",), args=("pause",), standin="agnhost"),
    "whoami": _server(80),
    "hello-app": _server(8080),
    "node-hello": _server(8080),
    "hello-world": _server(80),
    "echoserver": _server(8080),
    "echo-server": _server(80),
    "http-echo": _server(5678),
    "httpbin": _server(80),
    "hello": _server(80),
    "hello-kubernetes": _server(8080),
    "nginx-hello": _server(80),
    "nginx-unprivileged": _server(8080),
    "caddy": _server(80, command=("caddy", "run")),
    "tomcat": _server(8080),
    "hpa-example": _server(80, standin="hpa-example"),
}


class ImageTable:
    """Looks images up. `which` finds programs of the machine (tests give their own)."""

    def __init__(self, config: ClusterConfig, which: Which | None = None) -> None:
        self._entries = config.images
        self._strict = config.strict_images
        self._which = which or find_program
        self._built_in = dict(BUILT_IN)
        self._built_in["coredns"] = _resolver(config)

    def known(self, image: str) -> bool:
        return self._entry(image) is not None or repository(image) in self._built_in

    def resolve(
        self, image: str, command: Sequence[str], args: Sequence[str], ports: Sequence[Port]
    ) -> Program | StandIn | Unknown:
        """What runs for a container with this image, command, args and declared ports."""
        entry = self._entry(image)
        if entry is not None:
            return _program(_of_entry(entry), command, args)
        recipe = self._built_in.get(repository(image))
        if recipe is None:
            return self._unknown(image, command, args, ports)
        return self._known(recipe, command, args, ports)

    def files(self, image: str) -> Mapping[str, str]:
        """Texts, by path, of files that a container of this image expects to find."""
        ours = repository(image) == "agnhost" and self._entry(image) is None
        return {"agnhost": SCRIPT} if ours else {}

    def _entry(self, image: str) -> ImageConfig | None:
        names = _spellings(image)
        for entry in self._entries:
            if any(fnmatchcase(name, entry.pattern) for name in names):
                return entry
        return None

    def _known(
        self,
        recipe: Recipe,
        command: Sequence[str],
        args: Sequence[str],
        ports: Sequence[Port],
    ) -> Program | StandIn:
        program = _program(recipe, command, args)
        if recipe.standin is None:
            return program
        if recipe.standin == "agnhost":
            return _agnhost(program, ports)
        if program.argv and self._which(program.argv[0]):
            return program
        return StandIn(
            program="" if recipe.standin == "pause" else recipe.standin,
            ports=tuple(ports) or recipe.ports,
            env=recipe.env,
        )

    def _unknown(
        self, image: str, command: Sequence[str], args: Sequence[str], ports: Sequence[Port]
    ) -> Program | StandIn | Unknown:
        if self._strict:
            return Unknown(
                f'failed to pull and unpack image "{full_name(image)}": failed to resolve '
                f'reference "{full_name(image)}": {full_name(image)}: not found'
            )
        if command:
            return Program(argv=(*command, *args), env={})
        return StandIn(program="", ports=tuple(ports))


def _program(recipe: Recipe, command: Sequence[str], args: Sequence[str]) -> Program:
    """Kubernetes' rule: `command` replaces the image's command and its args."""
    own = (*recipe.command, *(args or recipe.args))
    argv = (*command, *args) if command else own
    return Program(
        argv=argv, env=recipe.env, rootfs=recipe.rootfs, cwd=recipe.cwd, binds=recipe.binds
    )


def _of_entry(entry: ImageConfig) -> Recipe:
    return Recipe(command=entry.command, args=entry.args, env=entry.env, rootfs=entry.rootfs)


def _resolver(config: ClusterConfig) -> Recipe:
    """Our own resolver stands for CoreDNS; `{pod}` becomes the pod's name.

    A container's own `args` are CoreDNS's: `-conf FILE`.
    """
    api = f"unix:{config.api_socket}"
    return Recipe(
        command=(sys.executable, "-m", "netemu.dns", "--api", api, "--name", "{pod}"),
        args=("--configmap", "kube-system/coredns"),
        binds=(str(config.run_dir),),
    )


_AGNHOST_PORTS = {
    "netexec": (("http-port", "TCP", 8080), ("udp-port", "UDP", 8081)),
    "serve-hostname": (("port", "TCP", 9376),),
}


def _agnhost(program: Program, declared: Sequence[Port]) -> StandIn | Program:
    """The part of agnhost that we stand in for; other subcommands need the program itself."""
    words = list(program.argv)
    if not words or words[0].rpartition("/")[2] != "agnhost":
        return program
    name = words[1] if len(words) > 1 else "pause"
    if name == "pause":
        return StandIn(program="", ports=())
    if name == "porter":
        return StandIn(program="porter", ports=tuple(declared))
    flags = _flags(words[2:])
    if name == "test-webserver":  # it serves the container's files: those of its volumes, too
        server = (sys.executable, "-m", "http.server", "--directory", "/")
        return replace(program, argv=(*server, flags.get("port") or "80"))
    if name not in _AGNHOST_PORTS:
        return program
    only_udp = name == "serve-hostname" and "udp" in flags and "tcp" not in flags
    ports = [
        Port(port=int(flags.get(flag) or default), protocol="UDP" if only_udp else protocol)
        for flag, protocol, default in _AGNHOST_PORTS[name]
    ]
    return StandIn(program=name, ports=tuple(port for port in ports if port.port > 0))


def _flags(words: Sequence[str]) -> dict[str, str]:
    """`--flag=value`, `--flag value` (`--udp-port -1`, too) and `--flag` alone, as pflag has it."""
    found = {}
    for word, following in zip(words, (*words, "--")[1:], strict=True):
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            found[flag] = value if equals or following.startswith("--") else following
    return found


@lru_cache(maxsize=4096)
def repository(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[0]


@lru_cache(maxsize=4096)
def full_name(image: str) -> str:
    """With registry and tag, as a container runtime resolves it."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    if at:
        return f"{name}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@lru_cache(maxsize=4096)
def image_id(image: str) -> str:
    """A digest that is the same for the same image, as status.containerStatuses shows it."""
    full = full_name(image)
    if "@" in full:
        return full
    name = full.rpartition(":")[0]
    return f"{name}@sha256:{hashlib.sha256(full.encode()).hexdigest()}"


@lru_cache(maxsize=4096)
def _spellings(image: str) -> tuple[str, ...]:
    """The names under which a user's pattern may mean this image."""
    full = full_name(image)
    short = full.removeprefix("docker.io/").removeprefix("library/")
    untagged = image.partition("@")[0]
    if ":" in untagged.rpartition("/")[2]:
        untagged = untagged.rpartition(":")[0]
    return tuple(dict.fromkeys((image, full, short, untagged)))


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@lru_cache(maxsize=1024)
def find_program(name: str) -> str | None:
    """Where this machine has a program, as a container would find it."""
    if "/" in name:
        return name if os.access(name, os.X_OK) and not os.path.isdir(name) else None
    for directory in _PATH.split(":"):
        path = f"{directory}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None
