"""The commands that reach into the network, on a real cluster: exec, ping, rules, explain, node."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.netns

NETEMU = str(Path(sys.executable).with_name("netemu"))


def test_exec_passes_streams_and_code_on(examples: Any) -> None:
    done = examples.exec("nginx-demo", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = examples.try_run("exec", "-i", "nginx-demo", "--", "cat", stdin="through\n")
    assert (done.returncode, done.stdout) == (0, "through\n")
    done = examples.try_run("exec", "nginx-demo", "--", "cat", stdin="not asked for\n")
    assert (done.returncode, done.stdout) == (0, "")
    done = examples.exec("nginx-demo", "no-such-program")
    assert done.returncode == 127
    assert "executable file not found in $PATH" in done.stderr


def test_exec_chooses_pod_and_container(examples: Any) -> None:
    done = examples.exec("deploy/nginx-deploy", "hostname")
    assert done.stdout.startswith("nginx-deploy-")
    assert "Found 3 pods, using pod/nginx-deploy-" in done.stderr
    done = examples.try_run("exec", "two-containers", "-c", "client", "--", "hostname")
    assert (done.stdout, done.stderr) == ("two-containers\n", "")
    done = examples.exec("no-such-pod", "true")
    assert done.returncode == 1
    assert 'pods "no-such-pod" not found' in done.stderr


def test_exec_with_a_terminal(examples: Any) -> None:
    words = [NETEMU, "exec", "--cluster", examples.name, "-it", "nginx-demo", "--", "sh"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)
    os.write(terminal, b"test -t 0 && echo is-a-$((1 + 1))-terminal; exit 3\n")
    seen = b""
    while select.select([terminal], [], [], 300)[0]:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # EIO: the command has ended
            break
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert b"is-a-2-terminal" in seen


@pytest.mark.parametrize("machine", ["node/node-2", "host/client"])
def test_exec_on_a_machine(examples: Any, machine: str) -> None:
    script = "hostname; ls /sys/class/net; grep -c nameserver /etc/resolv.conf; exit 5"
    done = examples.exec(machine, "sh", "-c", script)
    lines = done.stdout.split()
    assert done.returncode == 5
    assert lines[0] == machine.partition("/")[2]
    assert "eth0" in lines and lines[-1] == "1"
    assert ("cni0" in lines) == machine.startswith("node/")


def test_exec_on_a_machine_that_is_not_there(examples: Any) -> None:
    done = examples.exec("node/node-9", "true")
    assert done.returncode == 1
    assert "nodes: node-1, node-2, node-3" in done.stderr


def test_pingall_reports_every_pair(examples: Any) -> None:
    found = json.loads(examples.run("pingall", "-W", "10", "-o", "json"))
    peers = {pair["from"] for pair in found["pairs"]}
    hosts = {peer for peer in peers if peer.startswith("host/")}
    pods = {peer for peer in peers if not peer.startswith(("host/", "node/"))}
    assert len(found["pairs"]) == len(peers) * (len(peers) - 1) - len(hosts) * len(pods)
    assert found["received"] == found["sent"] == len(found["pairs"])
    assert all(pair["ms"] < 900 for pair in found["pairs"]), "no ARP retry anywhere"


def test_pingall_sees_what_is_cut_off(examples: Any) -> None:
    pods = examples.get("pods", "-l", "app=nginx-deploy")["items"]
    victim = pods[0]
    space = f"{examples.name}.default.{victim['metadata']['name']}"
    subprocess.run(["ip", "-n", space, "link", "set", "eth0", "down"], check=True)
    try:
        done = examples.try_run("pingall", "-W", "10", "-o", "json")
    finally:
        up = f"link set eth0 up\nroute add default via {gateway(victim)}\n"
        subprocess.run(["ip", "-n", space, "-batch", "-"], input=up, text=True, check=True)
    assert done.returncode == 1
    name = f"default/{victim['metadata']['name']}"
    for pair in json.loads(done.stdout)["pairs"]:
        assert (pair["ms"] is None) == (name in (pair["from"], pair["to"])), pair


def gateway(pod: Any) -> str:
    return str(pod["status"]["podIP"]).rpartition(".")[0] + ".1"


def test_ping_knows_workloads_and_addresses(examples: Any) -> None:
    out = examples.run(
        "ping", "deploy/nginx-deploy", "other/fetcher", "-c", "2", "-i", "0.05", "-W", "10"
    )
    assert "2 packets transmitted, 2 received, 0% packet loss" in out
    assert re.search(r"first packet \d+\.\d+ ms", out)
    address = examples.get("pod", "web-0")["status"]["podIP"]
    assert " 0% packet loss" in examples.run("ping", "node/node-1", address, "-c", "1", "-W", "10")
    done = examples.try_run("ping", "nginx-demo", "10.244.200.200", "-c", "1", "-W", "0.3")
    assert done.returncode == 1


@pytest.mark.parametrize("mode", ["iptables", "nftables", "flat"])
def test_rules_and_explain_tell_what_packets_do(examples: Any, mode: str) -> None:
    examples.run("proxy-mode", mode)
    assert examples.run("proxy-mode").split() == [
        "node-1",
        mode,
        "node-2",
        mode,
        "node-3",
        mode,
    ]
    found = json.loads(examples.run("explain", "nginx-demo", "nginx-service", "-o", "json"))
    assert found["proxyMode"] == mode
    places = {outcome["place"].split()[1] for outcome in found["outcomes"]}
    pods = examples.get("pods", "-l", "app=nginx-deploy")["items"]
    assert places == {f"default/{pod['metadata']['name']}" for pod in pods}
    script = "for i in $(seq 30); do wget -q -O - http://nginx-service | head -n 1; done"
    answers = set(examples.exec("nginx-demo", "sh", "-c", script).stdout.split())
    assert answers - {"pod:"} <= {place.partition("/")[2] for place in places}
    rules = examples.run("rules", "node-1", "--service", "nginx-service")
    address = examples.get("service", "nginx-service")["spec"]["clusterIP"]
    assert address in rules
    rows = [line for line in rules.splitlines() if line.startswith(" ")]
    assert rows and all(" default/nginx-service" in row.partition("  # ")[2] for row in rows)
    assert address in examples.run("rules", "node-1", "--service", "nginx-service", "--kernel")
    assert examples.get("service", "nginx-nodeport")["spec"]["clusterIP"] not in rules
    assert len(examples.run("rules", "node-1")) > len(rules)


def test_explain_agrees_on_a_service_without_endpoints(examples: Any) -> None:
    manifest = (
        "{apiVersion: v1, kind: Service, metadata: {name: void}, spec: {ports: [{port: 80}]}}"
    )
    examples.run("apply", "-f", "-", stdin=manifest)
    done = examples.try_run("explain", "nginx-demo", "void")
    assert done.returncode == 1 and "REJECTED" in done.stdout
    fetched = examples.exec("nginx-demo", "wget", "-T", "60", "-t", "1", "-O", "-", "http://void")
    assert "refused" in fetched.stderr.lower()
    examples.run("delete", "service", "void")


def test_port_forward_to_a_service(examples: Any) -> None:
    process = examples.start("port-forward", "svc/nginx-service", ":80")
    try:
        line = process.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+) -> 80", line)
        assert port, line
        with socket.create_connection(("127.0.0.1", int(port[1])), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b"nginx-deploy-" in answer
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_logs_follow(examples: Any) -> None:
    process = examples.start("logs", "-f", "nginx-demo", "--tail=0")
    seen = []
    try:
        # It may follow only after some of the fetches.
        examples.until(lambda: _fetch_and_read(examples, process, seen), "a fetch is told of")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _fetch_and_read(examples: Any, process: subprocess.Popen[str], seen: list[bytes]) -> bool:
    url = f"http://{_address(examples)}/followed-by-the-test"
    done = examples.exec("web-0", "wget", "-q", "-O", "-", url)
    assert done.returncode == 0, done.stderr
    assert process.stdout is not None
    if select.select([process.stdout], [], [], 0.5)[0]:
        seen.append(os.read(process.stdout.fileno(), 65536))
        assert seen[-1], "the stream ended"
    return b"/followed-by-the-test" in b"".join(seen)


def _address(examples: Any) -> str:
    return str(examples.get("pod", "nginx-demo")["status"]["podIP"])


def test_nodes_come_and_go(examples: Any) -> None:
    assert examples.run("node", "add", "extra", "-l", "zone=b") == "node/extra added\n"
    node = examples.get("node", "extra")
    assert node["metadata"]["labels"]["zone"] == "b"
    out = examples.run("ping", "node/extra", "nginx-demo", "-c", "1", "-W", "10")
    assert " 0% packet loss" in out
    assert examples.run("node", "delete", "extra") == "node/extra deleted\n"
    assert examples.try_run("get", "node", "extra").returncode == 1
    done = examples.try_run("node", "delete", "extra")
    assert done.returncode != 0 and "extra" in done.stderr


def test_status_as_json(examples: Any) -> None:
    done = examples.until(
        lambda: _successful(examples.try_run("status", "-o", "json")), "all is well"
    )
    found = json.loads(done.stdout)
    assert found["ready"] and found["name"] == examples.name
    assert [node["ready"] for node in found["nodes"]] == [True] * 3
    assert min(found["components"].values()) >= found["revision"]
    assert found["pods"]["ready"] == found["pods"]["total"] > 0


def _successful(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str] | None:
    return done if done.returncode == 0 else None


def test_kubeconfig_is_for_everybody(examples: Any) -> None:
    path = examples.run("kubeconfig", "--path").strip()
    assert Path(path).read_text() == examples.run("kubeconfig")
    assert os.stat(path).st_mode & 0o077 == 0
