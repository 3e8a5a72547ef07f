"""File, environment and flags to one ClusterConfig; all problems at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from netemu.config import ClusterConfig, HostConfig, NodeConfig
from netemu.config.load import ENVIRONMENT, load
from netemu.errors import ConfigError

ROOT = Path(__file__).parents[3]


def problems(document: dict[str, Any], **sources: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(document, **sources)
    return caught.value.problems


def test_nothing_is_all_defaults() -> None:
    assert load() == ClusterConfig()


def test_every_field() -> None:
    document = yaml.safe_load(
        """
apiVersion: netemu.dev/v1
kind: Cluster
metadata: {name: demo}
networking:
  podSubnet: 10.10.0.0/16,fd00:10::/56
  serviceSubnet: 10.20.0.0/16,fd00:20::/108
  nodeSubnet: 172.30.7.0/24
  nodeCIDRMaskSize: 25
  nodeCIDRMaskSizeIPv6: 64
  dnsDomain: Example.Internal.
  nodePortRange: 31000-31999
  loadBalancerPool: 192.0.2.0/24
  overlayBackend: host-gw
  directRouting: true
  vni: 7
  vxlanPort: 4789
  mtu: 9000
nodes:
- {name: a, labels: {zone: x, number: 1}, proxyMode: ipvs}
- {name: b}
maxPods: 100
proxy:
  mode: nftables
  masqueradeAll: true
  nodePortAddresses: [172.30.7.0/24]
  localhostNodePorts: false
  minSyncPeriod: 1s
  syncPeriod: 1m30s
  ipvsScheduler: lc
hosts:
- {name: client}
- {name: web, address: 172.30.7.100, image: nginx, command: [sh], args: [-c, 1], ports: [80, 443]}
images:
- {pattern: "my/*", rootfs: /, command: [app], args: [x], env: {A: 1, B: true}}
strictImages: true
dns: {replicas: 1, clusterDNS: [169.254.20.10], upstreams: [192.0.2.53]}
api: {port: 6443}
podNamespaceNames: false
timing: {crashLoopBase: 100ms, crashLoopMax: 2, nodeLeaseDuration: 4s, nodeMonitorGrace: 5s,
         podToleration: 1m}
"""
    )
    config = load(document)
    assert config.name == "demo"
    assert config.pod_subnets == ("10.10.0.0/16", "fd00:10::/56")
    assert config.service_subnets == ("10.20.0.0/16", "fd00:20::/108")
    assert (config.node_subnet, config.node_cidr_mask) == ("172.30.7.0/24", 25)
    assert config.cluster_domain == "example.internal"
    assert config.node_port_range == (31000, 31999)
    assert config.load_balancer_pool == "192.0.2.0/24"
    assert (config.overlay_backend, config.direct_routing) == ("host-gw", True)
    assert (config.vni, config.vxlan_port, config.mtu) == (7, 4789, 9000)
    assert config.nodes == (
        NodeConfig(name="a", labels={"zone": "x", "number": "1"}, proxy_mode="ipvs"),
        NodeConfig(name="b"),
    )
    assert config.proxy.mode == "nftables" and config.proxy.masquerade_all
    assert (config.proxy.min_sync_period, config.proxy.sync_period) == (1.0, 90.0)
    assert config.hosts == (
        HostConfig(name="client"),
        HostConfig(
            name="web",
            address="172.30.7.100",
            image="nginx",
            command=("sh",),
            args=("-c", "1"),
            ports=(80, 443),
        ),
    )
    assert config.images[0].env == {"A": "1", "B": "true"}
    assert config.strict_images and not config.pod_namespace_names
    assert (config.dns_replicas, config.upstream_nameservers) == (1, ("192.0.2.53",))
    assert config.pod_nameservers == ("169.254.20.10",)
    assert (config.api_port, config.max_pods) == (6443, 100)
    assert (config.timing.crash_loop_base, config.timing.pod_toleration) == (0.1, 60.0)


def test_flags_win_over_environment_over_file() -> None:
    document = {"metadata": {"name": "file"}, "nodes": 1, "proxy": {"mode": "iptables"}}
    environment = {"NETEMU_NAME": "environment", "NETEMU_NODES": "2"}
    config = load(document, environment=environment, flags={"--nodes": "4", "--name": None})
    assert config.name == "environment"
    assert len(config.nodes) == 4
    assert config.proxy.mode == "iptables"


@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_a_wrong_variable_is_called_by_its_name(variable: str) -> None:
    found = problems({}, environment={variable: "-!-"}, source="c.yaml")
    assert len(found) == 1
    assert found[0].startswith(f"{variable}: ")


def test_number_of_nodes_over_a_list() -> None:
    document = {"nodes": [{"name": "node-2"}, {"name": "big"}]}
    assert [n.name for n in load(document, flags={"--nodes": "1"}).nodes] == ["node-2"]
    names = [n.name for n in load(document, flags={"--nodes": "4"}).nodes]
    assert names == ["node-2", "big", "node-1", "node-3"]


def test_all_problems_at_once_with_their_places() -> None:
    document = {
        "networkin": {},
        "networking": {"podSubnets": "x", "podSubnet": "10.244.0.1/16", "mtu": "big"},
        "nodes": [{"name": "a", "proxyMode": "iptable"}, {"nam": "x"}, {"name": "UPPER"}],
        "proxy": {"mode": "nft"},
        "hosts": [{"name": "h", "ports": ["x", 70000], "command": "sleep 1"}],
        "images": [{"rootfs": "/"}],
        "timing": {"crashLoopBase": "1sec"},
    }
    found = problems(document, source="c.yaml")
    assert all(problem.startswith("c.yaml: ") for problem in found)
    texts = [problem.removeprefix("c.yaml: ") for problem in found]
    assert "networkin: unknown field; did you mean networking?" in texts
    assert "networking.podSubnets: unknown field; did you mean podSubnet?" in texts
    assert any(t.startswith("networking.podSubnet: ") and "10.244.0.0/16?" in t for t in texts)
    assert 'networking.mtu: must be a whole number, is "big"' in texts
    assert any("did you mean iptables?" in t and t.startswith("nodes[0].proxyMode") for t in texts)
    assert "nodes[1].name: is missing" in texts
    assert "nodes[1].nam: unknown field; did you mean name?" in texts
    assert any(t.startswith('nodes[2].name: "UPPER"') for t in texts)
    assert any(t.startswith('proxy.mode: "nft" is not one of') for t in texts)
    assert any(t.startswith("hosts[0].ports[0]: ") for t in texts)
    assert any(t.startswith("hosts[0].ports[1]: ") for t in texts)
    assert any(t.startswith("hosts[0].command: must be a list") for t in texts)
    assert any(t.startswith("images[0].pattern: is missing") for t in texts)
    assert any(t.startswith("timing.crashLoopBase: must be a duration") for t in texts)


@pytest.mark.parametrize(
    ("networking", "place", "why"),
    [
        ({"podSubnet": "10.96.0.0/16"}, "networking.serviceSubnet", "overlaps"),
        (
            {"nodeSubnet": "10.244.9.0/24"},
            "networking.nodeSubnet",
            "overlaps networking.podSubnet 10.244.0.0/16",
        ),
        ({"podSubnet": "10.244.0.0/23"}, "networking.podSubnet", "room for 2 nodes"),
        ({"podSubnet": "10.244.0.0/25"}, "networking.podSubnet", "smaller than one node's range"),
        (
            {"podSubnet": "11.0.0.0/8", "nodeCIDRMaskSize": 26},
            "networking.nodeCIDRMaskSize",
            "more than 16 bits",
        ),
        ({"serviceSubnet": "10.1.0.0/29"}, "networking.serviceSubnet", "too small"),
        ({"serviceSubnet": "12.0.0.0/10"}, "networking.serviceSubnet", "too large"),
        ({"nodeSubnet": "172.30.0.0/30"}, "networking.nodeSubnet", "need 5"),
        ({"podSubnet": "10.244.0.0/16,fd00::/48"}, "networking.serviceSubnet", "families"),
        ({"podSubnet": "10.244.0.0/16,10.245.0.0/16"}, "networking.podSubnet", "2 IPv4 networks"),
        ({"podSubnet": "127.0.0.0/16"}, "networking.podSubnet", "not a range that machines"),
        ({"loadBalancerPool": "10.96.1.0/24"}, "networking.loadBalancerPool", "overlaps"),
        ({"mtu": 626}, "", ""),
        ({"nodePortRange": "30000"}, "networking.nodePortRange", "not a range"),
        ({"dnsDomain": "a..b"}, "networking.dnsDomain", "not a domain name"),
        ({"podSubnet": "banana"}, "networking.podSubnet", "is not a network"),
    ],
)
def test_ranges_are_checked(networking: dict[str, Any], place: str, why: str) -> None:
    if not place:
        assert load({"networking": networking}).mtu == 626
        return
    found = problems({"networking": networking})
    assert any(p.startswith(f"{place}: ") and why in p for p in found), found


@pytest.mark.parametrize(
    ("hosts", "why"),
    [
        ([{"name": "node-1"}], '"node-1" is already the name of nodes[0]'),
        ([{"name": "fabric"}], "name of the underlay itself"),
        ([{"name": "a", "address": "172.30.0.3"}], "this machine's and the nodes'"),
        ([{"name": "a", "address": "172.30.0.254"}], "the underlay's router"),
        ([{"name": "a", "address": "172.30.0.255"}], "broadcast"),
        ([{"name": "a", "address": "10.0.0.1"}], "is not in networking.nodeSubnet"),
        (
            [{"name": "a", "address": "172.30.0.9"}, {"name": "b", "address": "172.30.0.9"}],
            "already the address of host a",
        ),
    ],
)
def test_hosts_are_checked(hosts: list[dict[str, Any]], why: str) -> None:
    found = problems({"hosts": hosts, "networking": {"nodeSubnet": "172.30.0.0/24"}})
    assert len(found) == 1 and why in found[0], found


def test_an_address_needs_a_network() -> None:
    found = problems({"hosts": [{"name": "a", "address": "172.30.0.9"}]})
    assert found == ("hosts[0].address: needs networking.nodeSubnet to say which network it is in",)


def test_nodes_without_number_and_too_many() -> None:
    assert problems({"nodes": 0}) == ("nodes: 0 is not between 1 and 1000",)
    assert problems({"nodes": []}) == ("nodes: a cluster has at least one node",)
    assert problems({"nodes": {}})[0].startswith("nodes: must be a whole number")


def test_socket_paths_of_the_longest_names_fit() -> None:
    config = load({"metadata": {"name": "c" * 32}, "nodes": [{"name": "n" * 40}]})
    path = config.node_dir(config.nodes[0].name) / "supervisor.sock"
    assert len(str(path)) <= 107
    assert problems({"metadata": {"name": "c" * 33}})
    assert problems({"nodes": [{"name": "n" * 41}]})


def test_the_example_loads() -> None:
    config = load(yaml.safe_load((ROOT / "examples/cluster.yaml").read_text()))
    assert [host.name for host in config.hosts] == ["client", "legacy-web"]
    assert len(config.nodes) == 3


def test_the_document_is_not_changed() -> None:
    document = {"networking": {"mtu": 1400}}
    load(document, environment={"NETEMU_MTU": "1300"})
    assert document == {"networking": {"mtu": 1400}}


def test_etcd_is_reached_as_kube_apiserver_reaches_it(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("cafile", "certfile", "keyfile")}
    for file in files.values():
        file.write_text("pem")
    flags = {f"--etcd-{name}": str(file) for name, file in files.items()}
    flags |= {"--etcd-servers": "https://10.0.0.1:2379", "--etcd-prefix": "/clusters/a/"}
    found = load(flags=flags).etcd
    assert (found.servers, found.prefix) == (("https://10.0.0.1:2379",), "/clusters/a")
    assert found.key_file == str(files["keyfile"])
    for wrong, why in (
        ({"--etcd-cafile": "/nowhere"}, '--etcd-cafile: "/nowhere" cannot be read'),
        ({"--etcd-prefix": "registry"}, "--etcd-prefix: .* is not a path such as /registry"),
        ({"--etcd-prefix": "/registry/a"}, "lies inside of another cluster's keys"),
        ({"--etcd-keyfile": None}, "keyFile: is missing"),
        ({"--etcd-servers": None}, "endpoints: is missing: say where etcd is"),
    ):
        with pytest.raises(ConfigError, match=why):
            load(flags=flags | wrong)


def test_the_store_may_wait_for_the_disk() -> None:
    assert not load().fsync
    assert load({"store": {"fsync": True}}).fsync
    assert load(environment={"NETEMU_FSYNC": "true"}).fsync


def test_nodes_may_be_named_in_a_flag() -> None:
    assert [node.name for node in load(flags={"--nodes": "b-1, b-2"}).nodes] == ["b-1", "b-2"]
    assert [node.name for node in load(flags={"--nodes": "b-1,"}).nodes] == ["b-1"]
    with pytest.raises(ConfigError, match='--nodes: "b-1" is already the name of'):
        load(flags={"--nodes": "b-1,b-1"})


def test_etcd_servers_come_as_kubeadm_calls_them_and_as_a_flag() -> None:
    document = {"etcd": {"external": {"endpoints": ["http://10.0.0.1:2379"]}}}
    assert load(document).etcd.servers == ("http://10.0.0.1:2379",)
    flag = {"--etcd-servers": "http://a:2379,http://b:2379"}
    assert load(document, flags=flag).etcd.servers == ("http://a:2379", "http://b:2379")
    with pytest.raises(ConfigError, match="--etcd-servers: .* is not a URL such as"):
        load(flags={"--etcd-servers": "localhost"})
