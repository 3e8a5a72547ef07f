"""Whom `netemu dns query` asks, and from where: the resolv.conf of a pod, or a server by name.

https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-config
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

import click

from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.cli.peers import find_peer
from netemu.cli.podtargets import one_pod
from netemu.cli.session import Session
from netemu.dns.plugin import split_address
from netemu.dns.stub import Resolver
from netemu.errors import ApiError
from netemu.node import netns
from netemu.node.kubelet.dnsconfig import ResolverFile, compile_resolver

if TYPE_CHECKING:
    from netemu.dns.asking import Open

DOMAIN = "cluster.local"


def find_resolver(
    session: Session, source: str, nameserver: str, domain: str
) -> tuple[Resolver, Open, int]:
    """Which resolv.conf, how to open sockets, and the servers' port."""
    if not nameserver and not source:
        raise click.UsageError("say where to ask: --from POD, or -s ADDR[:PORT]")
    space, domain = session.namespace, domain or (cluster_domain(session) if source else DOMAIN)
    searches = (f"{space}.svc.{domain}", f"svc.{domain}", domain)
    if nameserver:
        try:
            host, port = split_address(nameserver, 53)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--nameserver") from None
        resolver = Resolver(nameservers=(host,), searches=searches, ndots=5)
        return resolver, _opener(session, source) if source else socket.socket, port
    return _of_pod(session, source, searches), _opener(session, source), 53


def _of_pod(session: Session, source: str, searches: tuple[str, ...]) -> Resolver:
    """The resolv.conf that the kubelet gave the pod; a machine has the cluster's servers."""
    space, slash, name = source.rpartition("/")
    if space in ("node", "nodes", "no", "host", "hosts"):
        service = session.api.get("/api/v1/namespaces/kube-system/services/kube-dns")
        return Resolver(nameservers=(service["spec"]["clusterIP"],), searches=searches, ndots=5)
    if slash and space not in ("pod", "pods", "po"):
        pod = session.api.get(f"/api/v1/namespaces/{space}/pods/{name}")
    else:
        pod = one_pod(session, source)
    host = ResolverFile(tuple(_api_addresses(session)))
    kubelet = session.api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/configz")
    servers = kubelet["kubeletconfig"]["clusterDNS"]
    file = compile_resolver(pod, host, cluster_dns=servers, domain=searches[-1]).file
    if not file.nameservers:
        raise CommandFailed(f"pod {source} has no name server in its resolv.conf")
    return Resolver.with_options(file.nameservers, file.searches, file.options)


def _api_addresses(session: Session) -> list[str]:
    """The machine's end of the underlay: it has the API server, and the relay that nodes ask."""
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    return [each["addresses"][0] for each in session.api.get(path)["endpoints"]]


def cluster_domain(session: Session) -> str:
    """The first zone of `kubernetes` in the cluster's Corefile."""
    try:
        config = session.api.get("/api/v1/namespaces/kube-system/configmaps/coredns")
    except ApiError as error:
        if error.reason != "NotFound":
            raise
        return DOMAIN
    text = (config.get("data") or {}).get("Corefile", "")
    found = re.search(r"^\s*kubernetes[ \t]+([^\s{]+)", text, re.MULTILINE)
    return found[1].rstrip(".") if found else DOMAIN


def _opener(session: Session, source: str) -> Open:
    if os.geteuid() != 0:
        raise RootNeeded("asking from another network")
    path = find_peer(session, source).netns
    return lambda family, kind: netns.socket_in(path, family, kind)
