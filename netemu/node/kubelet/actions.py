"""What probes and lifecycle hooks do: HTTP, TCP, gRPC, a command in the container.

Connections start in the node's network namespace, as the kubelet's do.
https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

from netemu.api.kind import Object
from netemu.errors import DataplaneError
from netemu.node.kubelet.grpchealth import serving
from netemu.node.kubelet.probeports import resolve_port
from netemu.node.kubelet.states import STAND_IN, ContainerState
from netemu.node.supervisor.client import StartRefused

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

_USER_AGENT = "kube-probe/1.34"
_MOST_OUTPUT = 10 * 1024
_NOT_FOUND = 127


class Undecided(RuntimeError):
    """The question could not be asked: a port without number, a program that is not there."""


async def act(
    worker: PodWorker, state: ContainerState, action: Object, timeout: float
) -> tuple[bool, str]:
    """Do one action; whether it succeeded, and what Kubernetes says when it did not.

    Raises Undecided.
    """
    try:
        async with asyncio.timeout(timeout):
            if action.get("exec"):
                return await _execute(worker, state, action["exec"].get("command") or [])
            if action.get("httpGet"):
                return await _http(worker, state, action["httpGet"])
            if action.get("grpc"):
                return await _grpc(worker, state, action["grpc"])
            return await _tcp(worker, state, action.get("tcpSocket") or {})
    except TimeoutError:
        if action.get("exec"):
            words = " ".join(action["exec"].get("command") or ())
            return False, f'command timed out: "{words}" timed out after {timeout:g}s'
        return False, f"{_target(worker, state, action)}: context deadline exceeded"
    except DataplaneError as error:
        return False, str(error)
    except (OSError, ssl.SSLError) as error:
        # asyncio puts the address into strerror
        why = (os.strerror(error.errno) if error.errno else error.strerror or str(error)).lower()
        return False, f"{_target(worker, state, action)}: connect: {why}"


def _address(worker: PodWorker, state: ContainerState, where: Object) -> tuple[str, int]:
    host = where.get("host") or (worker.ips[0] if worker.ips else "127.0.0.1")
    port = resolve_port(state.spec, where.get("port"))
    if port is None:
        raise Undecided(f"couldn't find port: {where.get('port')}")
    return host, port


def _target(worker: PodWorker, state: ContainerState, action: Object) -> str:
    where = action.get("httpGet") or action.get("tcpSocket") or action.get("grpc") or {}
    host, port = _address(worker, state, where)
    joined = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if action.get("httpGet"):
        scheme = (where.get("scheme") or "HTTP").lower()
        return f'Get "{scheme}://{joined}{where.get("path") or "/"}": dial tcp {joined}'
    return f"dial tcp {joined}"


async def _tcp(worker: PodWorker, state: ContainerState, where: Object) -> tuple[bool, str]:
    sock = await worker.context.sockets.connect(*_address(worker, state, where))
    sock.close()
    return True, ""


async def _http(worker: PodWorker, state: ContainerState, where: Object) -> tuple[bool, str]:
    host, port = _address(worker, state, where)
    request = _request(where, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    sock = await worker.context.sockets.connect(host, port)
    if (where.get("scheme") or "HTTP").upper() == "HTTPS":
        line = await _ask_securely(sock, request, host)
    else:
        line = await _ask(sock, request)
    words = line.split()
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if 200 <= code < 400:
        return True, ""
    return False, f"HTTP probe failed with statuscode: {code}" if code else "malformed response"


async def _ask(sock: socket.socket, request: bytes) -> bytes:
    """The first line of the answer. No streams: a thousand pods are asked all the time."""
    loop = asyncio.get_running_loop()
    answer = b""
    with sock:
        await loop.sock_sendall(sock, request)
        while b"\n" not in answer:
            part = await loop.sock_recv(sock, 4096)
            if not part:
                break
            answer += part
    return answer.partition(b"\n")[0]


async def _ask_securely(sock: socket.socket, request: bytes, host: str) -> bytes:
    reader, writer = await asyncio.open_connection(sock=sock, ssl=_lenient(), server_hostname=host)
    try:
        writer.write(request)
        return await reader.readline()
    finally:
        writer.close()


def _request(where: Object, host: str) -> bytes:
    headers = {"Host": host, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for header in where.get("httpHeaders") or ():
        headers[header["name"]] = header.get("value", "")
    path = where.get("path") or "/"
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _lenient() -> ssl.SSLContext:
    """The kubelet doesn't check a probed server's certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _grpc(worker: PodWorker, state: ContainerState, where: Object) -> tuple[bool, str]:
    host, port = _address(worker, state, where)
    sock = await worker.context.sockets.connect(host, port)
    if state.runtime == STAND_IN:
        sock.close()
        return True, ""  # stand-ins speak no HTTP/2; that one listens is all there is to know
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        return await serving(reader, writer, where.get("service") or "")
    finally:
        writer.close()


async def _execute(
    worker: PodWorker, state: ContainerState, command: list[str]
) -> tuple[bool, str]:
    try:
        code, output = await run_command(worker, state, command)
    except StartRefused as error:
        # The program that the probe asks with is part of the image that we stand in for.
        if state.runtime == STAND_IN and error.code == _NOT_FOUND:
            return True, ""
        raise Undecided(str(error)) from error
    except DataplaneError as error:
        return False, str(error)
    return code == 0, output or f"command exited with code {code}"


async def run_command(
    worker: PodWorker, state: ContainerState, command: list[str]
) -> tuple[int, str]:
    """Run a command in a container: its exit code and the beginning of its output."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        fds = [null, writer, writer]
        started = worker.context.runtime.processes.start_exec(state.id, {"argv": command}, fds)
        running = await started
    finally:
        os.close(writer)
        os.close(null)
    try:
        code = await running.wait()
        os.set_blocking(reader, False)
        try:
            output = os.read(reader, _MOST_OUTPUT).decode("utf-8", "replace")
        except BlockingIOError:
            output = ""
        return code, output.strip()
    except asyncio.CancelledError:
        running.signal(signal.SIGKILL)
        raise
    finally:
        os.close(reader)
