"""What clients of a Service see while its Deployment is updated: nothing, in each proxy mode.

IPVS, which few kernels have, is in ../test_rollout.py: scripts/test-vm runs that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MODES = ["nftables", "flat", "iptables"]
FETCH = """
count=0
while [ ! -e /tmp/stop ]; do
  wget -q -T 60 -O /dev/null http://web || { echo "failed after $count"; exit 1; }
  count=$((count + 1))
done
echo "fetched $count"
"""


@pytest.fixture(scope="module")
def shop(make_cluster: Callable[..., Any], web_manifest: str) -> Any:
    cluster = make_cluster("shop", "--nodes", "2")
    cluster.run("apply", "-f", "-", stdin=web_manifest)
    return cluster


@contextmanager
def fetching(cluster: Any) -> Iterator[None]:
    """One fetch after the other from a pod, none of which may fail."""
    cluster.exec("asker", "rm", "-f", "/tmp/stop")
    loop = cluster.start("exec", "asker", "--", "sh", "-c", FETCH)
    try:
        yield
        cluster.exec("asker", "touch", "/tmp/stop")
        out, err = loop.communicate(timeout=300)
    finally:
        loop.kill()
    assert loop.returncode == 0, out + err
    assert int(re.findall(r"\d+", out)[-1]) > 10


def image_patch(image: str, **more: Any) -> str:
    container = {"name": "c", "image": image, **more}
    return json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})


def images(pods: list[Any]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


@pytest.mark.parametrize("mode", MODES)
def test_no_fetch_fails_during_a_rolling_update(shop: Any, mode: str) -> None:
    shop.run("proxy-mode", mode)
    with fetching(shop):
        shop.run("patch", "deployment", "web", "-p", image_patch(f"nginx:{mode}"))
        shop.run("rollout", "status", "deployment/web", "--timeout", "300s")
    assert images(shop.pods(app="web")) == {f"nginx:{mode}"}


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_version_stops_and_is_undone(shop: Any, mode: str) -> None:
    shop.run("proxy-mode", mode)
    before = images(shop.pods(app="web"))
    # A stand-in answers whatever port a probe asks for; a command can fail.
    bad = {"httpGet": None, "exec": {"command": ["false"]}, "periodSeconds": 1}
    patch = image_patch(f"nginx:bad-{mode}", readinessProbe=bad)
    with fetching(shop):
        shop.run("patch", "deployment", "web", "-p", patch)
        shop.until(lambda: images(shop.pods(app="web")) != before, "the bad version is tried")
        done = shop.try_run("rollout", "status", "deployment/web", "--timeout", "3s")
        assert done.returncode != 0
        good = shop.ready_pods(app="web")
        assert images(good) == before
        assert len(good) >= 3
        shop.run("rollout", "undo", "deployment/web")
        shop.run("rollout", "status", "deployment/web", "--timeout", "300s")
    assert images(shop.pods(app="web")) == before
