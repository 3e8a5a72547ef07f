"""The supervisor with real processes in real namespaces."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from netemu.aio import spawn
from netemu.errors import DataplaneError
from netemu.node.supervisor.client import Event, StartRefused, SupervisorClient, launch

pytestmark = pytest.mark.netns

FILES = {
    "etc/resolv.conf": "nameserver 10.96.0.10\n",
    "etc/hosts": "127.0.0.1 localhost\n10.244.0.2 web-0\n",
    "etc/hostname": "web-0\n",
}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what we wait for is another process
            await asyncio.sleep(0.005)


def held(pid: int) -> set[str]:
    """What a process has open; what it closes meanwhile is left out."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(os.readlink(descriptor))
    return found


class Node:
    """A supervisor, a client of it, and the events so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.client = SupervisorClient(directory / "supervisor.sock", self.events.put_nowait)
        self.pid = 0

    async def pod(self, uid: str, **more: Any) -> None:
        net = os.open("/proc/self/ns/net", os.O_RDONLY)
        entry = {"uid": uid, "hostname": "web-0", "files": FILES, **more}
        await self.client.request("pods", pods=[entry], fds=[net])
        os.close(net)

    async def start(self, identifier: str, *argv: str, pod: str = "u1", **more: Any) -> Event:
        log = str(self.directory / "pods" / f"{identifier}.log")
        spec = {"id": identifier, "pod": pod, "name": "c", "argv": argv, "log": log, **more}
        await self.client.request("start", containers=[spec])
        return await self.event()

    async def event(self) -> Event:
        async with asyncio.timeout(60):
            return await self.events.get()

    async def run(self, container: str, script: str) -> tuple[int, str]:
        """Execute a shell script in a container: its exit code and output."""
        reader, writer = os.pipe()
        null = os.open("/dev/null", os.O_RDONLY)
        command = {"argv": ["sh", "-c", script]}
        running = await self.client.start_exec(container, command, [null, writer, writer])
        os.close(writer)
        os.close(null)
        code = await running.wait()
        output = os.fdopen(reader, "rb")
        with output:
            return code, output.read().decode()

    def log(self, identifier: str) -> list[tuple[str, str, str]]:
        """(stream, tag, text) of a container's log."""
        path = self.directory / "pods" / f"{identifier}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(line.split(" ", 3)[1:]) for line in lines]  # type: ignore[misc]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path / "node")
    node.pid, _ = await launch(node.directory, f"netemu-test-{os.getpid()}")
    await node.client.connect()
    yield node
    await node.client.close()
    pidfd = os.pidfd_open(node.pid)
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    os.close(pidfd)
    await until(lambda: not Path(f"/proc/{node.pid}/stat").exists())
    assert not list(Path("/sys/fs/cgroup").glob(f"*/netemu-test-{os.getpid()}"))
    assert (node.directory / "supervisor.log").read_text() == ""


async def test_a_container_sees_its_own_files_host_name_and_processes(node: Node) -> None:
    await node.pod("u1")
    event = await node.start("c1", "sleep", "1000")
    assert event["event"] == "started"
    script = "hostname; cat /etc/resolv.conf; tail -1 /etc/hosts; ls /tmp | wc -l; echo $$ $PPID"
    code, output = await node.run("c1", script)
    assert code == 0
    assert output.splitlines()[:4] == ["web-0", "nameserver 10.96.0.10", "10.244.0.2 web-0", "0"]
    assert output.splitlines()[4] == "2 0"


async def test_what_a_container_writes_stays_in_it(node: Node) -> None:
    await node.pod("u1")
    await node.start("c1", "sleep", "1000")
    await node.start("c2", "sleep", "1000")
    mark = f"netemu-test-{os.getpid()}"
    assert await node.run("c1", f"echo mine > /etc/{mark} && cat /etc/{mark}") == (0, "mine\n")
    assert (await node.run("c2", f"test -e /etc/{mark}"))[0] == 1
    assert not Path(f"/etc/{mark}").exists()


async def test_output_becomes_cri_lines_and_the_exit_code_is_kept(node: Node) -> None:
    await node.pod("u1")
    script = "echo out; echo err >&2; printf part; exit 3"
    assert (await node.start("c1", "sh", "-c", script))["event"] == "started"
    event = await node.event()
    assert (event["event"], event["container"]["code"]) == ("exited", 3)
    assert sorted(node.log("c1")) == [
        ("stderr", "F", "err"),
        ("stdout", "F", "out"),
        ("stdout", "P", "part"),
    ]


@pytest.mark.parametrize(
    ("argv", "more", "code", "message"),
    [
        (("nosuch",), {}, 127, 'exec: "nosuch": executable file not found in $PATH'),
        (
            ("x" * 5000,),
            {},
            127,
            f'exec: "{"x" * 193}…{"x" * 62}": executable file not found in $PATH',
        ),
        (("/etc/passwd",), {}, 126, 'exec: "/etc/passwd": permission denied'),
        (("sh",), {"cwd": "/etc/passwd"}, 128, 'chdir to cwd ("/etc/passwd"): file exists'),
    ],
)
async def test_a_command_that_cannot_start_says_why(
    node: Node, argv: tuple[str, ...], more: dict[str, Any], code: int, message: str
) -> None:
    await node.pod("u1")
    event = await node.start("c1", *argv, **more)
    assert event["event"] == "failed"
    assert (event["container"]["code"], event["container"]["message"]) == (code, message)


async def test_many_that_cannot_start_are_each_told_from_one_that_ended(node: Node) -> None:
    """The supervisor may learn of their ends before it reads what they said."""
    await node.pod("u1")
    specs = [{"id": f"c{i}", "pod": "u1", "name": "c", "argv": ["nosuch"]} for i in range(20)]
    await node.client.request("start", containers=specs)
    events = [await node.event() for _ in specs]
    assert {event["event"] for event in events} == {"failed"}
    assert {event["container"]["code"] for event in events} == {127}


async def test_stop_lets_a_handler_finish_and_kills_what_has_none(node: Node) -> None:
    await node.pod("u1")
    await node.start(
        "polite", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep .01; done"
    )
    await node.start("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep .01; done")
    await node.start("plain", "sleep", "1000")
    await until((node.directory / "pods/deaf.log").exists)
    await until((node.directory / "pods/polite.log").exists)
    await node.client.request("stop", ids=["polite", "plain"], grace=30)
    await node.client.request("stop", ids=["deaf"], grace=0.05)
    ended = [(await node.event())["container"] for _ in range(3)]
    assert {(c["id"], c["code"]) for c in ended} == {("polite", 7), ("plain", 143), ("deaf", 137)}


async def test_exits_are_told_to_a_client_that_comes_back(node: Node) -> None:
    await node.pod("u1")
    await node.start("stays", "sleep", "1000", meta={"restarts": 2})
    await node.start("ends", "sh", "-c", "read x; exit 5", stdin=True)
    await node.client.close()
    other = SupervisorClient(node.directory / "supervisor.sock", node.events.put_nowait)
    known = {c["id"]: c for c in (await other.connect())["containers"]}
    assert known["stays"]["meta"] == {"restarts": 2}
    await other.request("signal", id="ends", signal=9)
    assert (await node.event())["container"]["code"] == 137
    await other.close()
    hello = await node.client.connect()
    known = {c["id"]: c for c in hello["containers"]}
    assert (known["stays"]["state"], known["ends"]["code"]) == ("running", 137)


async def test_exec_passes_codes_terminals_and_refusals_on(node: Node) -> None:
    await node.pod("u1")
    await node.start("c1", "sleep", "1000", env={"GREETING": "hi"})
    assert await node.run("c1", "echo $GREETING; exit 9") == (9, "hi\n")
    running = await node.client.start_exec("c1", {"argv": ["tty"]}, [], tty=True)
    assert await running.wait() == 0
    assert os.read(running.terminal, 100).startswith(b"/dev/pts/")
    os.close(running.terminal)
    refused = await node.client.start_exec("c1", {"argv": ["nosuch"]}, [0, 1, 2])
    with pytest.raises(StartRefused, match="executable file not found") as error:
        await refused.wait()
    assert error.value.code == 127


async def test_a_command_for_one_that_ended_unheard_is_refused_and_leaves_nothing(
    node: Node,
) -> None:
    await node.pod("u1")
    await node.start("c1", "sleep", "1000")
    before = held(node.pid)
    event = await node.start("c2", "cat", stdin=True)
    null = os.open("/dev/null", os.O_RDWR)
    entry = await node.client.attach("c2", null, null, once=True)
    os.close(null)
    # What it gave away it closes only afterwards: this answer comes after that.
    assert await node.run("c1", "exit 0") == (0, "")
    stat = Path(f"/proc/{node.pid}/root/proc/{event['container']['pid']}/stat")

    async def refused() -> None:
        with pytest.raises(DataplaneError, match="container is not running"):
            await node.client.start_exec("c2", {"argv": ["true"]}, [0, 1, 2])

    os.kill(node.pid, signal.SIGSTOP)
    try:
        os.close(entry)
        await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        async with asyncio.TaskGroup() as group:
            spawn(group, refused(), name="exec")
            await asyncio.sleep(0)  # it is sent
            os.kill(node.pid, signal.SIGCONT)
    finally:
        os.kill(node.pid, signal.SIGCONT)
    assert (await node.event())["event"] == "exited"
    await until(lambda: held(node.pid) <= before)
    assert await node.run("c1", "exit 3") == (3, "")


async def test_a_lazy_container_starts_with_its_first_command(node: Node) -> None:
    await node.pod("u1")
    await node.client.request("start", containers=[{"id": "c1", "pod": "u1", "lazy": True}])
    assert await node.run("c1", "hostname; echo kept > /tmp/x") == (0, "web-0\n")
    assert await node.run("c1", "cat /tmp/x") == (0, "kept\n")
    assert (await node.event())["event"] == "entered"
    assert node.events.empty()


async def test_containers_of_a_pod_share_host_name_and_ipc(node: Node) -> None:
    await node.pod("u1", shared=True)
    await node.start("c1", "sleep", "1000")
    await node.start("c2", "sleep", "1000")
    script = "readlink /proc/self/ns/uts /proc/self/ns/ipc; hostname"
    assert await node.run("c1", script) == await node.run("c2", script)


async def test_a_shared_process_namespace_has_the_pause_process_first(node: Node) -> None:
    await node.pod("u1", share_pids=True)
    await node.start("c1", "sleep", "1111")
    await node.start("c2", "sleep", "2222")
    await node.event() if not node.events.empty() else None
    _, output = await node.run("c1", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "sleep 1111" in output and "sleep 2222" in output


async def test_an_ordinary_user_has_no_capabilities(node: Node) -> None:
    await node.pod("u1")
    await node.start("c1", "sleep", "1000", user=1000, group=2000, groups=[3000])
    _, output = await node.run("c1", "id -u; id -G; grep CapEff /proc/self/status")
    assert output.split() == ["1000", "2000", "3000", "CapEff:", "0000000000000000"]


async def test_a_read_only_root_keeps_its_volumes_writable(node: Node, tmp_path: Path) -> None:
    await node.pod("u1")
    (tmp_path / "data").mkdir()
    volume = {"source": str(tmp_path / "data"), "target": "/data"}
    fixed = {"source": str(tmp_path / "data"), "target": "/fixed", "readonly": True}
    await node.start("c1", "sleep", "1000", readonly=True, mounts=[volume, fixed])
    code, output = await node.run("c1", "echo 1 > /data/x; touch /fixed/y; touch /etc/z")
    assert code != 0 and output.count("Read-only file system") == 2
    assert (tmp_path / "data" / "x").read_text() == "1\n"


async def test_a_fork_bomb_stays_inside(node: Node) -> None:
    hello = await node.client.request("hello")
    if "pids" not in hello["cgroups"]["limits"]:
        pytest.skip("no pids controller on this machine")
    await node.pod("u1")
    await node.start("c1", "sleep", "1000", limits={"pids": 8})
    _, output = await node.run(
        "c1", "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 >/dev/null 2>&1 & done"
    )
    assert "fork" in output.lower()


async def test_killing_the_supervisor_ends_everything_it_started(node: Node) -> None:
    await node.pod("u1")
    event = await node.start("c1", "sh", "-c", "sleep 1000 & sleep 1000")
    assert event["event"] == "started"
    inside = f"/proc/{node.pid}/root/proc/{event['container']['pid']}"
    pidfd = os.pidfd_open(node.pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    await until(lambda: not Path(f"/proc/{node.pid}/stat").exists())
    assert not Path(inside).exists()
    node.pid, _ = await launch(node.directory, f"netemu-test-{os.getpid()}")
    await node.client.connect()


async def test_a_supervisor_that_nobody_recorded_goes(tmp_path: Path) -> None:
    seen = []

    def fail(pid: int, start_time: int) -> None:
        seen.append(pid)
        raise OSError("the ledger's disk is full")

    with pytest.raises(OSError, match="disk is full"):
        await launch(tmp_path / "node", "netemu-test-none", fail)
    await until(lambda: not Path(f"/proc/{seen[0]}/stat").exists())
    assert not (tmp_path / "node" / "supervisor.sock").exists()


async def test_a_container_that_writes_without_end_leaves_room_for_others(node: Node) -> None:
    await node.pod("u1")
    await node.start("loud", "yes", "x" * 1000)
    started = await node.start("quiet", "sh", "-c", "echo here; exit 0")
    assert started["event"] == "started"
    assert (await node.event())["container"]["id"] == "quiet"
    assert node.log("quiet") == [("stdout", "F", "here")]
    await until(lambda: (node.directory / "pods" / "loud.log.1").exists())
    written = 0
    for path in (node.directory / "pods").glob("loud*"):
        with suppress(FileNotFoundError):  # it is being put aside again
            written += path.stat().st_size
    assert written < 10 << 20


def _make_rootfs(root: Path) -> None:
    """A root directory with nothing but busybox and the libraries that it needs."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("no busybox on this machine")
    wanted = [busybox]
    found = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False)
    wanted += [word for word in found.stdout.split() if word.startswith("/")]
    for path in wanted:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin" / "sh").symlink_to(busybox)


async def test_a_root_directory_of_the_users_own(node: Node, tmp_path: Path) -> None:
    _make_rootfs(tmp_path / "root")
    await node.pod("u1")
    script = (
        "echo /*; read h < /etc/hostname; echo $h; echo x > /new; while :; do read x </new; done"
    )
    await node.start("c1", "sh", "-c", script, rootfs=str(tmp_path / "root"))
    await until(lambda: len(node.log("c1")) == 2)
    names, hostname = [text for _, _, text in node.log("c1")]
    assert {"/bin", "/proc", "/etc"} <= set(names.split()) and "/home" not in names
    assert hostname == "web-0"
    assert not (tmp_path / "root" / "new").exists()


def test_without_overlays_directories_are_private_and_the_rest_is_shared(tmp_path: Path) -> None:
    """What a machine gets whose `/` cannot be the lower layer of an overlay."""
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from netemu.node.supervisor import kernel, view
base = view.prepare({str(tmp_path / "base")!r})
base.overlay = False
kernel.unshare(kernel.NEWNS)
view.enter(base, {{}}, {{"etc/hostname": "inside"}})
print(open("/etc/hostname").read(), len(os.listdir("/tmp")), os.path.exists("/usr/bin/env"))
open("/tmp/mine", "w")
"""
    command = [sys.executable, "-S", "-I", "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["inside", "0", "True"]
    assert not Path("/tmp/mine").exists()


async def test_small_programs_are_there_where_the_machine_lacks_them(node: Node) -> None:
    if shutil.which("busybox") is None:
        pytest.skip("no busybox on this machine")
    await node.pod("u1")
    await node.start("c1", "sleep", "1000")
    async with asyncio.timeout(60):
        while (await node.run("c1", "test -e /dev/busybox/vi"))[0]:
            pass
    assert await node.run("c1", "PATH=/dev/busybox; hostname") == (0, "web-0\n")
    assert (await node.run("c1", "touch /dev/busybox/x"))[0] != 0
