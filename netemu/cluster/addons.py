"""What kubeadm installs into a fresh cluster and we do too: CoreDNS behind the Service kube-dns.

The Corefile says what kubeadm's does; our resolver reads it from the ConfigMap. The pods are
reached through the data plane like any others.

https://github.com/kubernetes/kubernetes/tree/master/cmd/kubeadm/app/phases/addons/dns
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, SERVICE_ACCOUNTS, SERVICES
from netemu.client.protocol import ApiClient
from netemu.config import ClusterConfig
from netemu.errors import ApiError

NAMESPACE = "kube-system"
DNS_LABELS = {"k8s-app": "kube-dns"}


def corefile(config: ClusterConfig) -> str:
    """kubeadm's Corefile for this cluster's domain.

    Outside names go to the nodes' name server, the relay on the underlay, which knows the
    configured upstreams: pods have no route to those.
    """
    domain = config.cluster_domain
    return f"""\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success {domain}
       disable denial {domain}
    }}
    loop
    reload
    loadbalance
}}
"""


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": labels}


def config_map(config: ClusterConfig) -> Object:
    """kube-system/coredns: the Corefile, for users to change."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "coredns", "namespace": NAMESPACE},
        "data": {"Corefile": corefile(config)},
    }


def service(config: ClusterConfig) -> Object:
    """kube-system/kube-dns, on the address that the pods' resolv.conf names."""
    ports = (("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP"))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(
            "kube-dns",
            DNS_LABELS | {"kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        )
        | {"annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}},
        "spec": {
            "selector": DNS_LABELS,
            "clusterIP": config.dns_service_ip,
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": protocol}
                for name, port, protocol in ports
            ],
        },
    }


def _http_probe(path: str, port: int) -> Object:
    return {"httpGet": {"path": path, "port": port, "scheme": "HTTP"}}


_COREFILE = {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}
"""Our own resolver follows the ConfigMap; a CoreDNS that a user's image runs reads the file."""


def _container() -> Object:
    return {
        "name": "coredns",
        "image": "registry.k8s.io/coredns/coredns:v1.13.1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
        "livenessProbe": _http_probe("/health", 8080)
        | {"initialDelaySeconds": 60, "timeoutSeconds": 5, "failureThreshold": 5},
        "readinessProbe": _http_probe("/ready", 8181),
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
    }


def deployment(config: ClusterConfig) -> Object:
    """kube-system/coredns: the resolver pods."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata("coredns", DNS_LABELS),
        "spec": {
            "replicas": config.dns_replicas,
            "selector": {"matchLabels": DNS_LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": DNS_LABELS},
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "coredns",
                    "dnsPolicy": "Default",
                    "containers": [_container()],
                    "volumes": [{"name": "config-volume", "configMap": _COREFILE}],
                },
            },
        },
    }


def service_account() -> Object:
    """Who the resolver pods are."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "coredns", "namespace": NAMESPACE},
    }


async def apply_addons(client: ApiClient, config: ClusterConfig) -> None:
    """Create what is missing; what a user changed stays as it is."""
    wanted: list[tuple[Resource, Object]] = [
        (SERVICE_ACCOUNTS, service_account()),
        (CONFIG_MAPS, config_map(config)),
        (SERVICES, service(config)),
    ]
    if config.dns_replicas:
        wanted.append((DEPLOYMENTS, deployment(config)))
    for resource, obj in wanted:
        try:
            await client.create(resource, meta.copy(obj))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
