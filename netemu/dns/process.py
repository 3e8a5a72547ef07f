"""The life of a resolver process: start, serve, be told to go, lame duck, end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netemu.aio import spawn
from netemu.dns import corefile
from netemu.dns.runtime import Runtime
from netemu.dns.server.instance import Address
from netemu.dns.server.server import Server
from netemu.errors import ConfigError, NetemuError

log = logging.getLogger("netemu.dns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. Either `api` or `objects`."""

    api: str = ""
    """`unix:PATH` or a URL."""
    configmap: str = "kube-system/coredns"
    name: str = ""
    """The pod's name; progress is reported as `dns/NAME`."""
    objects: tuple[Path, ...] = ()
    corefile: Path | None = None
    listen: tuple[Address, ...] = ()
    """Instead of port 53 on all addresses."""
    resolv_conf: Path = Path("/etc/resolv.conf")
    local: tuple[str, ...] = ()
    """Our own addresses, as NS records tell them; empty: those of the interfaces."""
    workers: int = 1
    """Processes that share the DNS ports (SO_REUSEPORT); only the first serves metrics and probes.
    Not with `api`: progress must be one process's."""


class _Stopped(Exception):
    """Ends the task group."""


def run(options: Options) -> int:
    """Serve with all workers; the exit code. Blocks."""
    children = [_fork(options) for _ in range(options.workers - 1)]
    try:
        return asyncio.run(serve(options))
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        for child in children:
            os.waitpid(child, 0)


def _fork(options: Options) -> int:
    """A further worker; returns in the parent only."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        die_with(parent)
        code = asyncio.run(serve(options, pages=False))
    except NetemuError as error:
        log.error(str(error))
    finally:
        os._exit(code)


def die_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends; prctl(2) PR_SET_PDEATHSIG."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)


async def serve(options: Options, *, pages: bool = True) -> int:
    """Run until a signal; the exit code. Raises NetemuError when it cannot start.

    Without `pages`, nothing is served over HTTP.
    """
    _more_files()
    stop, fatal, failed = asyncio.Event(), list[str](), list[NetemuError]()

    def leave(why: str) -> None:
        fatal.append(why)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            runtime = Runtime(group, resolv_conf=options.resolv_conf, local=options.local)
            runtime.exit = leave
            starting = spawn(group, _start(runtime, options, pages), name="dns start")
            told = spawn(group, stop.wait(), name="dns stop")
            await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                _settle()
                await told
                if not fatal:
                    await starting.result().stop()
            raise _Stopped
    except* _Stopped:
        pass
    except* NetemuError as errors:
        failed.append(_first(errors))
    if failed:  # raised in there it would be a group again
        raise failed[0]
    for why in fatal:
        log.critical(why)
    return 1 if fatal else 0


def _first(errors: BaseExceptionGroup[NetemuError]) -> NetemuError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _start(runtime: Runtime, options: Options, pages: bool) -> Server:
    server = Server(
        runtime,
        listen=options.listen,
        source=str(options.corefile or options.configmap if options.api else "Corefile"),
        reuse_port=options.workers > 1,
        pages=pages,
    )
    if options.api:
        text = await _from_api(runtime, server, options)
    else:
        text = _from_files(runtime, server, options)
    await server.start(text)
    for host, port in server.dns_addresses():
        log.info(f"serving DNS on {f'[{host}]' if ':' in host else host}:{port}")
    return server


def _from_files(runtime: Runtime, server: Server, options: Options) -> str:
    from netemu.dns.source.files import FileSource

    runtime.source = FileSource(options.objects)
    if options.corefile is None:
        return corefile.STANDALONE
    return _from_file(runtime, server, options.corefile)


def _from_file(runtime: Runtime, server: Server, path: Path) -> str:
    """The Corefile at `path`; `reload` looks there again."""
    runtime.root = path.parent
    runtime.read_corefile = path.read_text
    _accept(runtime, server)
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from None


async def _from_api(runtime: Runtime, server: Server, options: Options) -> str:
    """The ConfigMap's Corefile, as soon as there is one; later ones replace it."""
    from netemu.client.http import HttpClient
    from netemu.dns.source.api import ApiSource

    component = f"dns/{options.name}" if options.name else ""
    client = HttpClient.url(options.api, user_agent="netemu-dns")
    source = ApiSource(runtime.group, client, component=component)
    runtime.source = source
    source.programmed = _programming(runtime)
    source.on_announced = lambda: runtime.changed(())
    runtime.announced = lambda: source.announced
    if options.corefile is not None:
        return _from_file(runtime, server, options.corefile)
    _accept(runtime, server)
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def changed(text: str | None) -> None:
        if not first.done():
            first.set_result(corefile.KUBEADM if text is None else text)
        elif text is not None and server.instance is not None and server.instance.reloads:
            runtime.offer_corefile(text)

    namespace, _, name = options.configmap.rpartition("/")
    source.watch_corefile(namespace or "kube-system", name, changed)
    return await first


def _accept(runtime: Runtime, server: Server) -> None:
    def offer(text: str) -> None:
        spawn(runtime.group, server.replace(text), name="dns reload")

    runtime.offer_corefile = offer


def _programming(runtime: Runtime) -> Callable[[str, float], None]:
    histogram = runtime.registry.histogram(
        "coredns_kubernetes_dns_programming_duration_seconds",
        "Histogram of the time (in seconds) it took to program a dns instance.",
        ("service_kind",),
        tuple(0.001 * 2**power for power in range(20)),
    )
    return lambda kind, seconds: histogram.add((kind,), seconds)


def _more_files() -> None:
    """A thousand connections need more descriptors than the usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def _settle() -> None:
    """What start-up made stays: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
