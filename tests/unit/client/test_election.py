import asyncio

from netemu.aio import FakeClock, spawn
from netemu.api.kinds import LEASES
from netemu.client.election import LeaderElection


def candidate(client, clock: FakeClock, identity: str) -> LeaderElection:
    return LeaderElection(client, clock, name="one", identity=identity)


async def turns(clock: FakeClock, seconds: float) -> None:
    for _ in range(int(seconds)):
        await clock.advance(1.0, settle=200)  # a look and a write of the lease end in between


async def test_one_leads_and_the_next_takes_over_when_the_lease_is_not_renewed(server) -> None:
    clock, client, led = FakeClock(), server.local_client(), []

    def leading(name: str):
        async def lead() -> None:
            led.append(name)
            await asyncio.get_running_loop().create_future()

        return lead

    first, second = candidate(client, clock, "first"), candidate(client, clock, "second")
    async with asyncio.TaskGroup() as group:
        running = spawn(group, first.run(leading("first")), name="first")
        await turns(clock, 1)
        other = spawn(group, second.run(leading("second")), name="second")
        await turns(clock, 30)
        assert led == ["first"] and first.leading and not second.leading
        running.cancel()
        await turns(clock, 10)
        assert led == ["first"]
        await turns(clock, 10)
        assert led == ["first", "second"]
        lease = await client.get(LEASES, "one", "kube-system")
        assert lease["spec"]["holderIdentity"] == "second"
        assert lease["spec"]["leaseTransitions"] == 1
        other.cancel()


async def test_who_loses_the_lease_stops(server) -> None:
    clock, client = FakeClock(), server.local_client()
    stopped = asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.set()

    async with asyncio.TaskGroup() as group:
        first = candidate(client, clock, "first")
        running = spawn(group, first.run(lead), name="first")
        await turns(clock, 3)
        assert first.leading
        taken = {"spec": {"holderIdentity": "thief"}}
        await client.patch(LEASES, "one", "kube-system", taken)
        await turns(clock, 14)
        assert stopped.is_set()
        running.cancel()


async def test_the_same_candidate_leads_at_once_after_a_restart(server) -> None:
    clock, client = FakeClock(), server.local_client()
    for _ in range(2):
        led = asyncio.Event()

        async def lead(led: asyncio.Event = led) -> None:
            led.set()
            await asyncio.get_running_loop().create_future()

        async with asyncio.TaskGroup() as group:
            running = spawn(group, candidate(client, clock, "me").run(lead), name="me")
            await turns(clock, 1)
            assert led.is_set()
            running.cancel()
