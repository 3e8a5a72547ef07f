"""What the options of the plugin `kubernetes` say, read from its block of the Corefile.

https://coredns.io/plugins/kubernetes/#syntax
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from netemu.dns.corefile import Line
from netemu.dns.kube.lookup import DISABLED, INSECURE, VERIFIED
from netemu.dns.plugin import Fall, duration_of, fall_of, number_of, one_arg, zones_of


@dataclass(slots=True, kw_only=True)
class Options:
    """As CoreDNS's where nothing is said; `ttl` and `patience` in seconds."""

    ttl: int = 5
    pods: str = DISABLED
    pod_names: bool = False
    namespaces: list[str] = field(default_factory=list)
    labels: str = ""
    namespace_labels: str = ""
    endpoints: bool = True
    ignore_empty: bool = False
    patience: float = 5.0
    import_zones: tuple[bytes, ...] = ()
    fall: Fall = field(default_factory=Fall)


def read(line: Line) -> Options:
    """All options of the block; what is wrong is told with its place in the Corefile."""
    options = Options()
    for option in line.body:
        handler = _OPTIONS.get(option.name)
        if handler is None:
            option.fail(f"is not an option of kubernetes; there are {', '.join(sorted(_OPTIONS))}")
        handler(option, options)
    if options.namespaces and options.namespace_labels:
        line.fail("namespaces and namespace_labels exclude each other")
    return options


def _pods(line: Line, options: Options) -> None:
    options.pods = one_arg(line)
    if options.pods not in (DISABLED, INSECURE, VERIFIED):
        line.fail(f"{options.pods!r} is not one of disabled, insecure, verified")


def _ttl(line: Line, options: Options) -> None:
    options.ttl = number_of(line, one_arg(line), 0, 3600)


def _namespaces(line: Line, options: Options) -> None:
    if not line.args:
        line.fail("needs the name of a namespace")
    options.namespaces += line.args


def _ignore(line: Line, options: Options) -> None:
    if one_arg(line) != "empty_service":
        line.fail("the only thing to ignore is empty_service")
    options.ignore_empty = True


def _selector(line: Line) -> str:
    if not line.args:
        line.fail("needs a label selector")
    return " ".join(line.args)


def _labels(line: Line, options: Options) -> None:
    options.labels = _selector(line)


def _namespace_labels(line: Line, options: Options) -> None:
    options.namespace_labels = _selector(line)


def _fallthrough(line: Line, options: Options) -> None:
    options.fall = fall_of(line)


def _startup(line: Line, options: Options) -> None:
    options.patience = duration_of(line, one_arg(line))


def _pod_names(line: Line, options: Options) -> None:
    options.pod_names = True


def _no_endpoints(line: Line, options: Options) -> None:
    options.endpoints = False


def _multicluster(line: Line, options: Options) -> None:
    if not line.args:
        line.fail("needs a zone")
    options.import_zones = zones_of(line, line.args)


def _given(line: Line, options: Options) -> None:
    """Where the API is: the command line says it."""


_OPTIONS: dict[str, Callable[[Line, Options], None]] = {
    "pods": _pods,
    "ttl": _ttl,
    "namespaces": _namespaces,
    "ignore": _ignore,
    "labels": _labels,
    "namespace_labels": _namespace_labels,
    "fallthrough": _fallthrough,
    "startup_timeout": _startup,
    "endpoint_pod_names": _pod_names,
    "noendpoints": _no_endpoints,
    "multicluster": _multicluster,
    "endpoint": _given,
    "tls": _given,
    "kubeconfig": _given,
    "apiserver_qps": _given,
    "apiserver_burst": _given,
    "apiserver_max_inflight": _given,
}
