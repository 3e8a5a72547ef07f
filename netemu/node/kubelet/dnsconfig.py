"""A pod's /etc/resolv.conf and /etc/hosts, as the kubelet writes them.

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/network/dns/dns.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from netemu.api import meta
from netemu.api.kind import Object

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
MAX_DOMAIN = 253
"""Some resolvers abort at longer search domains, so the kubelet leaves them out."""
_NDOTS = "ndots:5"


@dataclass(frozen=True, slots=True)
class ResolverFile:
    """A resolv.conf as values."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def render(self) -> str:
        lines = []
        if self.searches:
            lines.append("search " + " ".join(self.searches))
        lines += [f"nameserver {address}" for address in self.nameservers]
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class PodDns:
    """A pod's resolv.conf, and the events that tell what had to be left out."""

    file: ResolverFile
    warnings: tuple[tuple[str, str], ...] = field(default=())
    """(reason, message): MissingClusterDNS, DNSConfigForming."""
    node_warning: tuple[str, str] | None = None
    """The same of the node, which is what is to be put right."""


def parse(text: str) -> ResolverFile:
    """Read a resolv.conf. Trailing dots of search domains go, except of the root's."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            nameservers.append(words[1])
        elif words[0] == "search":
            searches = tuple(word.rstrip(".") or "." for word in words[1:])
        elif words[0] == "options":
            options = tuple(words[1:])
    return ResolverFile(tuple(nameservers), searches, options)


def compile_resolver(
    pod: Object, host: ResolverFile, *, cluster_dns: Sequence[str], domain: str
) -> PodDns:
    """The pod's resolver, by its dnsPolicy and dnsConfig; `host` is the node's own."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    warnings: list[tuple[str, str]] = []
    node_warning = None
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    elif policy == "ClusterFirstWithHostNet":
        policy = "ClusterFirst"
    if policy == "ClusterFirst" and not cluster_dns:
        policy = "Default"
        named = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
        warnings.append(("MissingClusterDNS", f'pod: "{named}". {_NO_CLUSTER_DNS}'))
        node_warning = ("MissingClusterDNS", _NO_CLUSTER_DNS)
    if policy == "None":
        base = ResolverFile()
    elif policy == "Default":
        base = host if host.nameservers else ResolverFile(("127.0.0.1",), (".",))
    else:
        space = meta.namespace(pod)
        own = (f"{space}.svc.{domain}", f"svc.{domain}", domain)
        base = ResolverFile(tuple(cluster_dns), (*own, *host.searches), (_NDOTS,))
    merged = _merge(base, spec.get("dnsConfig") or {})
    return PodDns(_cut(merged, warnings), tuple(warnings), node_warning)


_NO_CLUSTER_DNS = (
    'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" '
    'policy. Falling back to "Default" policy.'
)


def _merge(base: ResolverFile, config: Object) -> ResolverFile:
    """dnsConfig on top: more servers and domains, options replaced by name."""
    options = {option.partition(":")[0]: option for option in base.options}
    for entry in config.get("options") or ():
        value = entry.get("value")
        options[entry["name"]] = f"{entry['name']}:{value}" if value else entry["name"]
    return ResolverFile(
        _unique((*base.nameservers, *(config.get("nameservers") or ()))),
        _unique((*base.searches, *(config.get("searches") or ()))),
        tuple(options.values()),
    )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _cut(file: ResolverFile, warnings: list[tuple[str, str]]) -> ResolverFile:
    servers, searches = file.nameservers, file.searches
    if len(servers) > MAX_NAMESERVERS:
        servers = servers[:MAX_NAMESERVERS]
        text = (
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(servers)}"
        )
        warnings.append(("DNSConfigForming", text))
    kept = tuple(each for each in searches[:MAX_SEARCHES] if len(each) <= MAX_DOMAIN)
    while len(" ".join(kept)) > MAX_SEARCH_CHARS:
        kept = kept[:-1]
    if len(kept) < len(searches):
        text = (
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(kept)}"
        )
        warnings.append(("DNSConfigForming", text))
    return ResolverFile(servers, kept, file.options)


def hostname(pod: Object) -> str:
    """What the pod's containers see as their host name: at most 63 characters."""
    spec = pod["spec"]
    named = spec.get("hostnameOverride") or spec.get("hostname") or meta.name(pod)
    return str(named)[:63].rstrip("-.")


def fully_qualified(pod: Object, domain: str) -> str:
    """`hostname.subdomain.namespace.svc.domain`, or nothing without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return ""
    return f"{hostname(pod)}.{subdomain}.{meta.namespace(pod)}.svc.{domain}"


_HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def compile_hosts(pod: Object, ips: Sequence[str], *, domain: str, node_hosts: str = "") -> str:
    """The pod's /etc/hosts. A pod on the host's network gets the node's file."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = f"# Kubernetes-managed hosts file (host network).\n{node_hosts}"
    else:
        full, short = fully_qualified(pod, domain), hostname(pod)
        names = f"{full}\t{short}" if full else short
        text = _HOSTS + "".join(f"{address}\t{names}\n" for address in ips)
    aliases = spec.get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases:
            text += f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) + "\n"
    return text
