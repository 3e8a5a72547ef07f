"""Summary and Prometheus text from samples."""

from netemu.node.kubelet.summary import (
    ContainerSample,
    PodSample,
    compile_summary,
    parse_interfaces,
    render_network,
    render_resources,
)

DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:       9       1    0    0    0     0          0         0        9       1    0    0    0
  tap0:       5       1    0    0    0     0          0         0        6       1    0    0    0
  eth0:    1000      10    1    0    0     0          0         0     2000      20    2    0    0
"""
POD = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "status": {}}


def sample() -> PodSample:
    each = [
        ContainerSample(name=name, started_at=0, cpu=1_500_000_000, rate=20, memory=4096)
        for name in ("a", "b")
    ]
    return PodSample(pod=POD, containers=each, interfaces=parse_interfaces(DEV))


def test_interfaces_begin_with_eth0_and_leave_out_the_loopback() -> None:
    found = parse_interfaces(DEV)
    assert [each.name for each in found] == ["eth0", "tap0"]
    first = found[0]
    assert (first.rx_bytes, first.rx_errors, first.tx_bytes, first.tx_errors) == (1000, 1, 2000, 2)


def test_a_summary_adds_up() -> None:
    found = compile_summary("node-1", parse_interfaces(DEV), [sample(), sample()], 0)
    node, pod = found["node"], found["pods"][0]
    assert node["nodeName"] == "node-1" and node["network"]["rxBytes"] == 1000
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u"}
    assert pod["containers"][0]["cpu"]["usageNanoCores"] == 20_000_000
    assert pod["cpu"]["usageCoreNanoSeconds"] == 3_000_000_000
    assert node["memory"]["workingSetBytes"] == 4 * 4096
    assert pod["network"]["name"] == "eth0" and len(pod["network"]["interfaces"]) == 2


def test_prometheus_text() -> None:
    resources = render_resources([sample()])
    assert (
        'container_cpu_usage_seconds_total{container="a",namespace="default",pod="web"} 1.5\n'
        in resources
    )
    assert "\nnode_memory_working_set_bytes 8192\n" in resources
    network = render_network([sample()])
    assert (
        'container_network_transmit_bytes_total{interface="eth0",namespace="default",pod="web"}'
        " 2000\n" in network
    )
    assert "# TYPE container_network_receive_errors_total counter\n" in network
