import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubectls import KUBECTLS, minor

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here drive clients, which leave sockets for the garbage collector to close."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.clients)
            for leftover in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{leftover}"))


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What the clients left open is closed while that is no failure; at the session's end it is."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A running cluster; its directory holds `kubeconfig`, and is where commands run."""
    folder = Path(tempfile.mkdtemp(prefix="clients"))
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, HERE / "cluster.py", folder],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", (folder / "log").read_text()
        yield folder
        assert process.poll() is None, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()
        shutil.rmtree(folder)


@pytest.fixture
def kubeconfig(cluster: Path) -> str:
    return str(cluster / "kubeconfig")


@pytest.fixture
def api(kubeconfig: str) -> Iterator[Any]:
    """The official Python client, unmodified."""
    made = pytest.importorskip("kubernetes").config.new_client_from_config(kubeconfig)
    yield made
    made.close()


@pytest.fixture
def core(api: Any) -> Any:
    return pytest.importorskip("kubernetes").client.CoreV1Api(api)


class Kubectl:
    """One kubectl, in a namespace of its own."""

    def __init__(self, path: str, version: str, cluster: Path, namespace: str) -> None:
        self._base = [path, "--kubeconfig", str(cluster / "kubeconfig"), "-n", namespace]
        self._base += ["--cache-dir", str(cluster / f"cache-{version}")]
        self.minor = minor(version)
        self.namespace, self.cluster = namespace, cluster

    def run(self, *args: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._base, *args], input=stdin, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def __call__(self, *args: str, stdin: str = "", code: int = 0) -> str:
        """Run it; returns what it printed."""
        return self.run(*args, stdin=stdin, code=code).stdout

    @staticmethod
    def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Ask again until it holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._base, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


@pytest.fixture(params=sorted(KUBECTLS) or [None])
def kubectl(request: pytest.FixtureRequest, cluster: Path) -> Iterator[Kubectl]:
    """Each kubectl found, in a fresh namespace."""
    if request.param is None:
        pytest.skip("no kubectl on this machine: apt install kubernetes-client")
    made = Kubectl(KUBECTLS[request.param], request.param, cluster, "default")
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60].rstrip("-")
    made("create", "namespace", name)
    made._base[made._base.index("-n") + 1] = made.namespace = name
    yield made
    made("delete", "namespace", name, "--wait=false")


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a server that answers with what it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
