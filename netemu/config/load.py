"""From the cluster file, the environment and flags to one `ClusterConfig`.

A later source wins: file < environment < flags. The words are kubeadm's where kubeadm has one
(https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/). All problems are reported
at once, each with the field, the variable or the flag that it came from.

    apiVersion: netemu.dev/v1
    kind: Cluster
    metadata: {name: demo}
    networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12, dnsDomain: cluster.local}
    nodes: 3                     # or a list: [{name: node-1, labels: {zone: a}, proxyMode: ipvs}]
    proxy: {mode: nftables}
    hosts: [{name: client, address: 172.30.0.100, image: nginx, ports: [80]}]
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from netemu.config.checks import check
from netemu.config.cluster import (
    OVERLAY_BACKENDS,
    PROXY_MODES,
    ClusterConfig,
    EtcdConfig,
    HostConfig,
    ImageConfig,
    NodeConfig,
    ProxyConfig,
    TimingConfig,
)
from netemu.config.fields import Problems, Section
from netemu.errors import ConfigError

LONGEST_CLUSTER_NAME = 32
LONGEST_MACHINE_NAME = 40
"""With these, `/run/netemu/NAME/nodes/NODE/supervisor.sock` fits into a unix socket's 107 bytes."""

IPVS_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh")

ENVIRONMENT = {
    "NETEMU_NAME": "metadata.name",
    "NETEMU_NODES": "nodes",
    "NETEMU_PROXY_MODE": "proxy.mode",
    "NETEMU_POD_SUBNET": "networking.podSubnet",
    "NETEMU_SERVICE_SUBNET": "networking.serviceSubnet",
    "NETEMU_NODE_SUBNET": "networking.nodeSubnet",
    "NETEMU_DNS_DOMAIN": "networking.dnsDomain",
    "NETEMU_NODE_PORT_RANGE": "networking.nodePortRange",
    "NETEMU_MTU": "networking.mtu",
    "NETEMU_DNS_REPLICAS": "dns.replicas",
    "NETEMU_DNS_UPSTREAMS": "dns.upstreams",
    "NETEMU_API_PORT": "api.port",
    "NETEMU_FSYNC": "store.fsync",
    "NETEMU_ETCD_SERVERS": "etcd.external.endpoints",
    "NETEMU_ETCD_PREFIX": "etcd.external.prefix",
    "NETEMU_ETCD_CAFILE": "etcd.external.caFile",
    "NETEMU_ETCD_CERTFILE": "etcd.external.certFile",
    "NETEMU_ETCD_KEYFILE": "etcd.external.keyFile",
    "NETEMU_STRICT_IMAGES": "strictImages",
}
"""Variables and the fields that they set."""

FLAGS = {
    "--name": "metadata.name",
    "--nodes": "nodes",
    "--proxy-mode": "proxy.mode",
    "--pod-subnet": "networking.podSubnet",
    "--service-subnet": "networking.serviceSubnet",
    "--etcd-servers": "etcd.external.endpoints",
    "--etcd-prefix": "etcd.external.prefix",
    "--etcd-cafile": "etcd.external.caFile",
    "--etcd-certfile": "etcd.external.certFile",
    "--etcd-keyfile": "etcd.external.keyFile",
}


def load(
    document: Mapping[str, Any] | None = None,
    *,
    source: str = "",
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> ClusterConfig:
    """The settings of a cluster; ConfigError with all problems.

    `document` is a Cluster document as read, `source` its file; `flags` maps `--nodes` and so on to
    values, None for a flag that was not given.
    """
    raw: dict[str, Any] = _copied(document or {})
    origins: dict[str, str] = {}
    for name, path in ENVIRONMENT.items():
        if (environment or {}).get(name):
            _set(raw, path, (environment or {})[name], origins, name)
    for name, value in (flags or {}).items():
        if value is not None:
            _set(raw, FLAGS[name], value, origins, name)
    problems = Problems(source, origins)
    config = _cluster(Section(raw, "", problems))
    if not problems.found:
        check(config, problems)
    if problems.found:
        raise ConfigError(problems.found)
    return config


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value


def _set(raw: dict[str, Any], path: str, value: Any, origins: dict[str, str], origin: str) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        if not isinstance(raw.get(parent), dict):
            raw[parent] = {}
        raw = raw[parent]
    if last == "nodes" and "," in str(value):
        value = [{"name": name.strip()} for name in value.split(",") if name.strip()]
    elif last == "nodes" and isinstance(raw.get(last), list):
        value = _resized(raw[last], value)
    raw[last] = value
    origins.pop(path, None)
    origins[path] = origin


def _resized(listed: list[Any], count: Any) -> Any:
    """A number of nodes over a list of them: its first ones, and new ones behind them."""
    if not str(count).isdigit() or int(count) > 10_000:
        return count
    taken = {node.get("name") for node in listed if isinstance(node, Mapping)}
    free = (name for i in range(1, int(count) * 2 + 2) if (name := f"node-{i}") not in taken)
    wanted = int(count)
    return listed[:wanted] + [{"name": next(free)} for _ in range(wanted - len(listed))]


def _cluster(top: Section) -> ClusterConfig:
    default = ClusterConfig()
    top.raw("apiVersion"), top.raw("kind")
    networking, dns, api = top.section("networking"), top.section("dns"), top.section("api")
    store = top.section("store")
    config = ClusterConfig(
        name=_name(top),
        nodes=_nodes(top),
        pod_subnets=networking.networks("podSubnet", default.pod_subnets),
        service_subnets=networking.networks("serviceSubnet", default.service_subnets),
        node_cidr_mask=networking.integer("nodeCIDRMaskSize", default.node_cidr_mask, 8, 30),
        node_cidr_mask_v6=networking.integer(
            "nodeCIDRMaskSizeIPv6", default.node_cidr_mask_v6, 16, 126
        ),
        node_subnet=networking.network("nodeSubnet"),
        cluster_domain=_domain(networking, default.cluster_domain),
        node_port_range=_port_range(networking, default.node_port_range),
        load_balancer_pool=networking.text("loadBalancerPool"),
        overlay_backend=networking.choice(
            "overlayBackend", OVERLAY_BACKENDS, default.overlay_backend
        ),
        direct_routing=networking.flag("directRouting", default.direct_routing),
        vni=networking.integer("vni", default.vni, 1, 2**24 - 1),
        vxlan_port=networking.integer("vxlanPort", default.vxlan_port, 1, 65535),
        mtu=networking.integer("mtu", default.mtu, 626, 65535),
        max_pods=top.integer("maxPods", default.max_pods, 1, default.max_pods),
        proxy=_proxy(top.section("proxy")),
        hosts=tuple(_host(each) for each in top.sections("hosts")),
        images=tuple(_image(each) for each in top.sections("images")),
        strict_images=top.flag("strictImages", default.strict_images),
        dns_replicas=dns.integer("replicas", default.dns_replicas, 0, 100),
        cluster_dns=dns.texts("clusterDNS") if dns.has("clusterDNS") else None,
        upstream_nameservers=dns.texts("upstreams"),
        api_port=api.integer("port", default.api_port, 0, 65535),
        etcd=_etcd(top.section("etcd")),
        fsync=store.flag("fsync", default.fsync),
        pod_namespace_names=top.flag("podNamespaceNames", default.pod_namespace_names),
        timing=_timing(top.section("timing")),
    )
    for section in (networking, dns, api, store, top):
        section.end()
    return config


def _name(top: Section) -> str:
    metadata = top.section("metadata")
    name = metadata.label("name", ClusterConfig().name, longest=LONGEST_CLUSTER_NAME)
    metadata.end()
    return name


def _nodes(top: Section) -> tuple[NodeConfig, ...]:
    """A number, or a list."""
    if not top.has("nodes"):
        top.raw("nodes")
        return ClusterConfig().nodes
    if isinstance(top.raw("nodes"), list):
        return tuple(_node(each) for each in top.sections("nodes"))
    count = top.integer("nodes", len(ClusterConfig().nodes), 1, 1000)
    return tuple(NodeConfig(name=f"node-{i}") for i in range(1, count + 1))


def _node(raw: Section) -> NodeConfig:
    node = NodeConfig(
        name=_machine_name(raw),
        labels=raw.pairs("labels"),
        proxy_mode=raw.choice("proxyMode", PROXY_MODES, ""),
    )
    raw.end()
    return node


def _machine_name(raw: Section) -> str:
    name = raw.label("name", longest=LONGEST_MACHINE_NAME)
    if not raw.has("name"):
        raw.problem("name", "is missing")
    return name


def _host(raw: Section) -> HostConfig:
    host = HostConfig(
        name=_machine_name(raw),
        address=raw.address("address"),
        image=raw.text("image"),
        command=raw.words("command"),
        args=raw.words("args"),
        ports=raw.numbers("ports", 1, 65535),
    )
    raw.end()
    return host


def _image(raw: Section) -> ImageConfig:
    image = ImageConfig(
        pattern=raw.text("pattern"),
        rootfs=raw.text("rootfs"),
        command=raw.words("command"),
        args=raw.words("args"),
        env=raw.pairs("env"),
    )
    if not image.pattern:
        raw.problem("pattern", 'is missing (for example "mycompany/*")')
    raw.end()
    return image


def _proxy(raw: Section) -> ProxyConfig:
    default = ProxyConfig()
    proxy = ProxyConfig(
        mode=raw.choice("mode", PROXY_MODES, default.mode),
        masquerade_all=raw.flag("masqueradeAll", default.masquerade_all),
        node_port_addresses=raw.networks(
            "nodePortAddresses", default.node_port_addresses, or_="primary"
        ),
        localhost_node_ports=raw.flag("localhostNodePorts", default.localhost_node_ports),
        min_sync_period=raw.seconds("minSyncPeriod", default.min_sync_period),
        sync_period=raw.seconds("syncPeriod", default.sync_period),
        ipvs_scheduler=raw.choice("ipvsScheduler", IPVS_SCHEDULERS, default.ipvs_scheduler),
    )
    raw.end()
    return proxy


def _timing(raw: Section) -> TimingConfig:
    default = TimingConfig()
    timing = TimingConfig(
        crash_loop_base=raw.seconds("crashLoopBase", default.crash_loop_base),
        crash_loop_max=raw.seconds("crashLoopMax", default.crash_loop_max),
        node_lease_duration=raw.seconds("nodeLeaseDuration", default.node_lease_duration),
        node_monitor_grace=raw.seconds("nodeMonitorGrace", default.node_monitor_grace),
        pod_toleration=raw.seconds("podToleration", default.pod_toleration),
    )
    raw.end()
    return timing


def _domain(networking: Section, default: str) -> str:
    domain = networking.text("dnsDomain", default).rstrip(".")
    labels = domain.split(".")
    if all(part.replace("-", "a").isalnum() and len(part) <= 63 for part in labels):
        return domain.lower()
    networking.problem("dnsDomain", f'"{domain}" is not a domain name')
    return default


def _etcd(etcd: Section) -> EtcdConfig:
    """kubeadm's `etcd.external`, and the prefix, which kubeadm leaves to kube-apiserver's flags."""
    external = etcd.section("external")
    known = len(external.problems.found)
    urls = external.texts("endpoints")
    for url in urls:
        if not re.fullmatch(r"https?://[^/\s]+:\d+/?", url):
            external.problem("endpoints", f'"{url}" is not a URL such as http://127.0.0.1:2379')
    config = EtcdConfig(
        servers=urls,
        prefix=_etcd_prefix(external),
        ca_file=_readable(external, "caFile"),
        cert_file=_readable(external, "certFile"),
        key_file=_readable(external, "keyFile"),
    )
    if len(external.problems.found) == known:  # what goes together; one problem at a time
        if bool(config.cert_file) != bool(config.key_file):
            missing = "keyFile" if config.cert_file else "certFile"
            external.problem(missing, "is missing: a certificate and its key go together")
        if config != EtcdConfig() and not urls:
            external.problem("endpoints", "is missing: say where etcd is")
    external.end()
    etcd.end()
    return config


def _etcd_prefix(external: Section) -> str:
    prefix = external.text("prefix", EtcdConfig().prefix).rstrip("/")
    if not re.fullmatch(r"(/[-.\w]+)+", prefix):
        external.problem("prefix", f'"{prefix}" is not a path such as /registry')
    elif prefix.startswith(f"{EtcdConfig().prefix}/"):
        external.problem("prefix", f'"{prefix}" lies inside of another cluster\'s keys')
    return prefix


def _readable(section: Section, name: str) -> str:
    """A file's absolute path: the daemon runs elsewhere."""
    text = section.text(name)
    if not text:
        return ""
    path = os.path.abspath(text)
    if not os.access(path, os.R_OK):
        section.problem(name, f'"{path}" cannot be read')
    return path


def _port_range(networking: Section, default: tuple[int, int]) -> tuple[int, int]:
    """`30000-32767`, as kube-apiserver's --service-node-port-range has it."""
    text = networking.text("nodePortRange")
    if not text:
        return default
    low, dash, high = text.partition("-")
    if dash and low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high) <= 65535:
        return int(low), int(high)
    networking.problem("nodePortRange", f'"{text}" is not a range of ports such as 30000-32767')
    return default
