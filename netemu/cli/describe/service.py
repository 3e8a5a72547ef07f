"""Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.describe.page import NONE, UNSET, Page

ADDRESSES_SHOWN = 3


def write_service(page: Page, service: Object, slices: Sequence[Object]) -> None:
    spec = service.get("spec") or {}
    page.head(service)
    page.metadata(service)
    chosen = spec.get("selector") or {}
    page.field("Selector", ",".join(f"{k}={chosen[k]}" for k in sorted(chosen)) or NONE)
    page.field("Type", spec.get("type", ""))
    if spec.get("ipFamilyPolicy"):
        page.field("IP Family Policy", spec["ipFamilyPolicy"])
    page.field("IP Families", ",".join(spec.get("ipFamilies") or ()) or NONE)
    page.field("IP", spec.get("clusterIP", ""))
    page.field("IPs", ",".join(spec.get("clusterIPs") or ()) or NONE)
    _outside(page, service)
    for port in spec.get("ports") or ():
        _port(page, port, slices)
    page.field("Session Affinity", spec.get("sessionAffinity", ""))
    for title, key in (
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("HealthCheck NodePort", "healthCheckNodePort"),
        ("Traffic Distribution", "trafficDistribution"),
    ):
        if spec.get(key):
            page.field(title, spec[key])


def slices_of(api: Api, namespace: str, name: str) -> list[Object]:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    query = {"labelSelector": f"kubernetes.io/service-name={name}"}
    items: list[Object] = api.get(path, query).get("items") or []
    return items


def _outside(page: Page, service: Object) -> None:
    spec = service.get("spec") or {}
    if spec.get("externalIPs"):
        page.field("External IPs", ",".join(spec["externalIPs"]))
    if spec.get("loadBalancerIP"):
        page.field("Desired LoadBalancer IP", spec["loadBalancerIP"])
    if spec.get("externalName"):
        page.field("External Name", spec["externalName"])
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if given:
        texts = [
            each["ip"] + (f" ({each['ipMode']})" if each.get("ipMode") else "")
            if each.get("ip")
            else each.get("hostname", "")
            for each in given
        ]
        page.field("LoadBalancer Ingress", ", ".join(texts))


def _port(page: Page, port: Object, slices: Sequence[Object]) -> None:
    name, protocol = port.get("name") or UNSET, port.get("protocol", "TCP")
    page.line(f"Port:\t{name}\t{port['port']}/{protocol}")
    page.field("TargetPort", f"{port.get('targetPort', '')}/{protocol}")
    if port.get("nodePort"):
        page.line(f"NodePort:\t{name}\t{port['nodePort']}/{protocol}")
    page.field("Endpoints", endpoints_text(slices, port.get("name") or ""))


def endpoints_text(slices: Sequence[Object], port_name: str) -> str:
    """`10.244.1.2:80,10.244.2.2:80 + 1 more...`: ready endpoints of one port."""
    if not slices:
        return NONE
    found = []
    for each in slices:
        for port in each.get("ports") or ():
            if (port.get("name") or "") != port_name or port.get("port") is None:
                continue
            for endpoint in each.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    found += [_joined(address, port["port"]) for address in endpoint["addresses"]]
    if not any(each.get("ports") for each in slices):
        found = (
            [
                address
                for each in slices
                for e in each.get("endpoints") or ()
                for address in e["addresses"]
            ]
            if not port_name
            else []
        )
    more = len(found) - ADDRESSES_SHOWN
    text = ",".join(found[:ADDRESSES_SHOWN])
    return f"{text} + {more} more..." if more > 0 else text


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def write_endpoints(page: Page, endpoints: Object) -> None:
    page.head(endpoints)
    page.metadata(endpoints)
    page.line("Subsets:")
    for subset in endpoints.get("subsets") or ():
        for title, key in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            shown = ",".join(each["ip"] for each in subset.get(key) or ())
            page.field(title, shown or NONE, level=1)
        ports = subset.get("ports") or ()
        if ports:
            page.line("Ports:", level=1)
            rows = ((p.get("name") or UNSET, p["port"], p.get("protocol", "TCP")) for p in ports)
            page.table(("Name", "Port", "Protocol"), rows, level=2)
        page.line()


def write_endpoint_slice(page: Page, each: Object) -> None:
    page.head(each)
    page.metadata(each)
    page.field("AddressType", each.get("addressType", ""))
    ports = each.get("ports") or ()
    page.line("Ports:" + ("" if ports else f" {UNSET}"))
    if ports:
        rows = (
            (port.get("name") or UNSET, port.get("port", UNSET), port.get("protocol", "TCP"))
            for port in ports
        )
        page.table(("Name", "Port", "Protocol"), rows)
    endpoints = each.get("endpoints") or ()
    page.line("Endpoints:" + ("" if endpoints else f" {NONE}"))
    for endpoint in endpoints:
        _endpoint(page, endpoint)


def _endpoint(page: Page, endpoint: Object) -> None:
    page.line(f"- Addresses:\t{', '.join(endpoint.get('addresses') or ()) or NONE}", level=1)
    page.line("Conditions:", level=2)
    ready = (endpoint.get("conditions") or {}).get("ready")
    page.field("Ready", UNSET if ready is None else str(ready).lower(), level=3)
    page.field("Hostname", endpoint.get("hostname") or UNSET, level=2)
    target = endpoint.get("targetRef")
    if target:
        page.field("TargetRef", f"{target.get('kind')}/{target.get('name')}", level=2)
    page.field("NodeName", endpoint.get("nodeName") or UNSET, level=2)
    page.field("Zone", endpoint.get("zone") or UNSET, level=2)
