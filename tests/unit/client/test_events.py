from netemu.aio import FakeClock
from netemu.api.kinds import CONFIG_MAPS, EVENTS
from netemu.client.events import EventRecorder
from netemu.client.http import HttpClient
from netemu.client.protocol import ApiClient


async def test_repeats_are_counted(client: ApiClient):
    clock = FakeClock()
    recorder = EventRecorder(client, "kubelet", "node-1", clock=clock)
    about = await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    for _ in range(3):
        await recorder.event(about, CONFIG_MAPS, "Warning", "Failed", "it failed")
        await clock.advance(10)
    await recorder.event(about, CONFIG_MAPS, "Normal", "Started", "now it works")
    events = (await client.list(EVENTS, fields="involvedObject.name=a")).items
    assert sorted((e["reason"], e["count"]) for e in events) == [("Failed", 3), ("Started", 1)]
    failed = next(e for e in events if e["reason"] == "Failed")
    assert failed["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert failed["source"] == {"component": "kubelet", "host": "node-1"}
    assert failed["lastTimestamp"] > failed["firstTimestamp"]
    await recorder.event(about, CONFIG_MAPS, "Normal", "Earlier", "first", at=clock.now() - 100)
    named = (await client.list(EVENTS, fields="involvedObject.name=a")).items
    assert [e["reason"] for e in named] == ["Earlier", "Failed", "Started"], "by name, so by time"


async def test_a_deleted_event_is_made_again(client: ApiClient):
    recorder = EventRecorder(client, "kubelet", clock=FakeClock())
    about = {"metadata": {"name": "node-1", "uid": "u"}}
    for _ in range(2):
        await recorder.event(about, CONFIG_MAPS, "Normal", "Ready", "ready")
        for event in (await client.list(EVENTS, "default")).items:
            await client.delete(EVENTS, event["metadata"]["name"], "default")
    await recorder.event(about, CONFIG_MAPS, "Normal", "Ready", "ready")
    assert len((await client.list(EVENTS)).items) == 1


async def test_an_unreachable_server_is_not_the_callers_problem(tmp_path):
    recorder = EventRecorder(HttpClient.unix(tmp_path / "nobody"), "kubelet")
    await recorder.event({"metadata": {"name": "a"}}, CONFIG_MAPS, "Normal", "A", "b")
