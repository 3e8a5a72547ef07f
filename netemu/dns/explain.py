"""Which object makes a name exist, or which missing one would: `netemu dns explain NAME`.

Reads whole objects, not the resolver's stripped views, since the interesting part is what those
leave out: endpoints that are not ready, a selector that matches nothing, a hostname without a
subdomain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from netemu.api import meta
from netemu.api.kind import Object
from netemu.dns import wire
from netemu.dns.kube.lookup import Asked, parse, pod_address, reverse_address
from netemu.dns.kube.objects import SERVICE_NAME, dashed, packed


@dataclass(slots=True)
class Explanation:
    """`exists`: True with records, None for NODATA, False for NXDOMAIN."""

    name: str
    exists: bool | None = None
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def absent(self, text: str) -> Explanation:
        self.exists = False
        self.lines.append(text)
        return self

    def there(self, text: str) -> Explanation:
        self.exists = True
        self.lines.append(text)
        return self


class World:
    """The objects at hand, by kind and key."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.kinds: dict[str, dict[str, Object]] = {}
        for obj in objects:
            kind = str(obj.get("kind"))
            space = meta.namespace(obj) or ("" if kind in ("Namespace", "Node") else "default")
            self.kinds.setdefault(kind, {})[meta.join_key(space, meta.name(obj))] = obj

    def of(self, kind: str) -> dict[str, Object]:
        return self.kinds.get(kind, {})

    def namespaces(self) -> set[str]:
        spaces = {key.partition("/")[0] for kind in ("Service", "Pod") for key in self.of(kind)}
        return set(self.of("Namespace")) | spaces

    def slices(self, service: str) -> list[Object]:
        space, _, name = service.partition("/")
        return [
            slice_
            for key, slice_ in sorted(self.of("EndpointSlice").items())
            if key.startswith(f"{space}/") and meta.labels(slice_).get(SERVICE_NAME) == name
        ]


def explain(
    name: str, objects: Iterable[Object], *, domain: str = "cluster.local", pods: str = "insecure"
) -> Explanation:
    """Explain an absolute name, or one relative to the cluster's domain."""
    world = World(objects)
    zone = f"{domain.lower().strip('.')}."
    full = name.lower() if name.endswith(".") else f"{name.lower()}."
    note = ""
    if full.endswith(".arpa."):
        return _reverse(full, world, Explanation(full))
    if full != zone and not full.endswith(f".{zone}"):
        for tail in () if name.endswith(".") else ("", "svc."):
            relative = parse([label.decode() for label in wire.labels(wire.from_text(full + tail))])
            if relative is not None and relative.namespace:
                note = f"{full} is taken as relative to the cluster; end it with a dot if it is not"
                full = f"{full}{tail}{zone}"
                break
        else:
            text = f"{full} is not below {zone}: it is forwarded to the upstream name servers"
            return Explanation(full, None, [text])
    labels = full.removesuffix(zone).rstrip(".")
    asked = parse(labels.split(".") if labels else [])
    done = Explanation(full, None, [note] if note else [])
    if asked is None:
        return done.absent(
            "no name of the schema: it must be SERVICE.NAMESPACE.svc,"
            " ENDPOINT.SERVICE.NAMESPACE.svc,"
            f" _PORT._PROTOCOL.SERVICE.NAMESPACE.svc or A-B-C-D.NAMESPACE.pod, below {zone}"
        )
    return _schema(asked, world, done, pods)


def _schema(asked: Asked, world: World, done: Explanation, pods: str) -> Explanation:
    if not asked.namespace:
        done.say("part of the schema: it exists, but has no records (NODATA)")
        return done
    if asked.namespace not in world.namespaces():
        near = _near(asked.namespace, world.namespaces())
        return done.absent(f'there is no Namespace "{asked.namespace}"{near}')
    if not asked.service:
        done.say(f'Namespace "{asked.namespace}" makes it exist, without records (NODATA)')
        return done
    if asked.branch == "pod":
        return _pod(asked, world, done, pods)
    service = world.of("Service").get(asked.key)
    if service is None:
        return _no_service(asked, world, done)
    return _service(asked, service, world, done)


def _no_service(asked: Asked, world: World, done: Explanation) -> Explanation:
    here = [k.partition("/")[2] for k in world.of("Service") if k.startswith(f"{asked.namespace}/")]
    elsewhere = sorted(
        key.partition("/")[0] for key in world.of("Service") if key.endswith(f"/{asked.service}")
    )
    done.absent(
        f'there is no Service "{asked.service}" in namespace "{asked.namespace}"'
        + _near(asked.service, here)
    )
    if elsewhere:
        done.say(f"there is one of that name in {', '.join(elsewhere)}")
    pod = world.of("Pod").get(asked.key)
    if pod is not None:
        done.say(
            f'there is a Pod "{asked.service}", but pods have no names of their own: set its'
            " spec.hostname and spec.subdomain, with a headless Service named as the subdomain"
        )
    return done


def _service(asked: Asked, service: Object, world: World, done: Explanation) -> Explanation:
    spec = service.get("spec") or {}
    title = f"Service {asked.key}"
    if spec.get("type") == "ExternalName":
        if asked.endpoint or asked.port:
            return done.absent(f"{title} is an ExternalName: nothing exists below it")
        return done.there(f"{title} (ExternalName) makes a CNAME to {spec.get('externalName')}")
    if asked.port:
        ports = spec.get("ports") or []
        if not any(_port_matches(asked, port) for port in ports):
            have = ", ".join(f"_{p['name']}._{_protocol(p)}" for p in ports if p.get("name"))
            return done.absent(
                f"{title} has no port named {asked.port} with protocol {asked.protocol}; it has"
                f" {have or 'no named port'}"
            )
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    headless = addresses[:1] == ["None"]
    if not headless and not asked.endpoint:
        if not addresses:
            return done.absent(f"{title} has no clusterIP yet")
        done.there(f"{title} makes it exist, with its ClusterIP {', '.join(addresses)}")
        if not any(_ready(e) for s in world.slices(asked.key) for e in s.get("endpoints") or ()):
            done.say("but no endpoint is ready: connections to it are refused")
        return done
    return _endpoints(asked, service, world, done)


def _endpoints(asked: Asked, service: Object, world: World, done: Explanation) -> Explanation:
    title = f"Service {asked.key}"
    rows = [
        (address, _label(endpoint, address), endpoint, slice_)
        for slice_ in world.slices(asked.key)
        for endpoint in slice_.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    ]
    if asked.endpoint:
        named = [row for row in rows if row[1].lower() == asked.endpoint]
        if not named:
            have = ", ".join(sorted({row[1] for row in rows if _ready(row[2])})) or "none"
            done.absent(f'{title} has no endpoint named "{asked.endpoint}"; it has: {have}')
            return _why_unnamed(asked, world, done)
        rows = named
    ready = [row for row in rows if _ready(row[2])]
    for address, label, _, slice_ in ready[:20]:
        done.there(f"EndpointSlice {meta.key(slice_)}: {address}, named {label}")
    hidden = [row for row in rows if not _ready(row[2])]
    for address, label, endpoint, slice_ in hidden[:20]:
        done.say(f"EndpointSlice {meta.key(slice_)}: {address} ({label}) {_why_hidden(endpoint)}")
    if ready:
        return done
    which = "this endpoint is not ready" if asked.endpoint else "no endpoint of it is ready"
    done.absent(f"{title} is headless and {which}: the name does not exist")
    if not rows:
        _why_empty(service, world, done)
    return done


def _why_empty(service: Object, world: World, done: Explanation) -> None:
    selector = (service.get("spec") or {}).get("selector")
    if not selector:
        done.say("it has no selector, and no EndpointSlice is labelled with its name")
        return
    space = meta.namespace(service)
    matching = [
        meta.name(pod)
        for key, pod in world.of("Pod").items()
        if key.startswith(f"{space}/") and selector.items() <= dict(meta.labels(pod)).items()
    ]
    text = ",".join(f"{key}={value}" for key, value in selector.items())
    found = ", ".join(sorted(matching)[:5]) or "none"
    done.say(f"pods that match its selector {text}: {found}")


def _why_unnamed(asked: Asked, world: World, done: Explanation) -> Explanation:
    pod = world.of("Pod").get(f"{asked.namespace}/{asked.endpoint}")
    if pod is None:
        return done
    spec = pod.get("spec") or {}
    if spec.get("subdomain") != asked.service:
        done.say(
            f"Pod {meta.key(pod)} would be named so with spec.hostname: {asked.endpoint} and"
            f" spec.subdomain: {asked.service} (it has hostname {spec.get('hostname') or 'unset'},"
            f" subdomain {spec.get('subdomain') or 'unset'})"
        )
    return done


def _pod(asked: Asked, world: World, done: Explanation, mode: str) -> Explanation:
    address = pod_address(asked.service)
    if mode == "disabled":
        return done.absent("the Corefile has `pods disabled`: no name below pod exists")
    if address is None:
        return done.absent(f'"{asked.service}" is no address with dashes, such as 10-244-1-5')
    text = asked.service.replace("-", "." if len(address) == 4 else ":")
    holder = [
        key
        for key, pod in world.of("Pod").items()
        if (pod.get("status") or {}).get("podIP") == text
    ]
    if mode == "insecure":
        who = f"Pod {holder[0]} has it" if holder else "no Pod has it"
        return done.there(f"`pods insecure` echoes any address in a namespace that exists; {who}")
    if any(key.startswith(f"{asked.namespace}/") for key in holder):
        return done.there(f"Pod {holder[0]} has this address")
    return done.absent(f"`pods verified`: no Pod of {asked.namespace} has the address {text}")


def _reverse(full: str, world: World, done: Explanation) -> Explanation:
    labels = full.rstrip(".").split(".")
    address = reverse_address(labels)
    if address is None:
        return done.absent("not the reverse name of a whole address")
    for key, service in sorted(world.of("Service").items()):
        spec = service.get("spec") or {}
        if any(_same(text, address) for text in spec.get("clusterIPs") or [spec.get("clusterIP")]):
            return done.there(f"Service {key} has this ClusterIP")
    for key, slice_ in sorted(world.of("EndpointSlice").items()):
        for endpoint in slice_.get("endpoints") or ():
            for text in endpoint.get("addresses") or ():
                if _same(text, address) and _ready(endpoint):
                    owner = meta.labels(slice_).get(SERVICE_NAME)
                    done.there(f"EndpointSlice {key} of Service {owner}: {_label(endpoint, text)}")
                elif _same(text, address):
                    done.say(f"EndpointSlice {key}: it is there, but {_why_hidden(endpoint)}")
    if not done.exists:
        done.absent("no Service and no ready endpoint has it: the upstream name servers are asked")
    return done


def _same(text: Any, address: bytes) -> bool:
    try:
        return isinstance(text, str) and packed(text) == address
    except ValueError:
        return False


def _label(endpoint: Object, address: str) -> str:
    try:
        return str(endpoint.get("hostname") or dashed(packed(address)))
    except ValueError:
        return address


def _ready(endpoint: Object) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _why_hidden(endpoint: Object) -> str:
    conditions = endpoint.get("conditions") or {}
    return "is terminating" if conditions.get("terminating") else "is not ready"


def _protocol(port: Object) -> str:
    return str(port.get("protocol") or "TCP").lower()


def _port_matches(asked: Asked, port: Object) -> bool:
    return asked.port == str(port.get("name") or "").lower() and asked.protocol == _protocol(port)


def _near(word: str, known: Iterable[str] | Sequence[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
