"""Who is waited for by a barrier, and who no more."""

from __future__ import annotations

from netemu.api import meta
from netemu.api.kinds import PODS
from netemu.apiserver.local import LocalClient

SPACE = "kube-system"


async def make_resolver(client: LocalClient, name: str) -> None:
    pod = {
        "metadata": {
            "name": name,
            "namespace": SPACE,
            "labels": {"k8s-app": "kube-dns"},
            "finalizers": ["example.org/held"],
        },
        "spec": {"containers": [{"name": "c", "image": "coredns"}]},
    }
    await client.create(PODS, pod)


async def release(client: LocalClient, name: str) -> None:
    held = meta.copy(await client.get(PODS, name, SPACE))
    held["metadata"]["finalizers"] = []
    await client.update(PODS, held)


async def counted(client: LocalClient) -> set[str]:
    """The resolvers that a barrier of the very first revision waits for."""
    done = await client.barrier(1, timeout=60)
    return {name for name in done["components"] if name.startswith("dns/")}


async def test_a_resolvers_last_word_does_not_bring_it_back(client: LocalClient):
    for name in ("one", "two"):
        await make_resolver(client, name)
        await client.report_progress(f"dns/{name}", 5)
    assert await counted(client) == {"dns/one", "dns/two"}
    await client.delete(PODS, "one", SPACE)  # its finalizer keeps it, terminating
    await client.report_progress("dns/one", 6)
    assert await counted(client) == {"dns/two"}
    await release(client, "one")
    await client.report_progress("dns/one", 7)
    assert await counted(client) == {"dns/two"}


async def test_its_first_word_after_the_end_neither(client: LocalClient):
    await make_resolver(client, "one")
    await client.delete(PODS, "one", SPACE)
    await client.report_progress("dns/one", 5)
    assert await counted(client) == set()


async def test_another_pod_of_the_name_counts(client: LocalClient):
    await make_resolver(client, "one")
    await client.delete(PODS, "one", SPACE)
    await release(client, "one")
    await make_resolver(client, "one")
    await client.report_progress("dns/one", 5)
    assert await counted(client) == {"dns/one"}


async def test_one_that_crashed_is_not_waited_for(client: LocalClient):
    await make_resolver(client, "one")
    await client.report_progress("dns/one", 5)
    for state, expected in (
        ({"running": {}}, {"dns/one"}),
        ({"terminated": {"exitCode": 1}}, set()),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, set()),
    ):
        held = meta.copy(await client.get(PODS, "one", SPACE))
        held["status"] = {"containerStatuses": [{"name": "c", "state": state}]}
        await client.update(PODS, held, subresource="status")
        assert await counted(client) == expected
    await client.report_progress("dns/one", 6)
    assert await counted(client) == {"dns/one"}
