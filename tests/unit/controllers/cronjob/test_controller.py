"""CronJobs, against the real API server in memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from netemu.aio import FakeClock
from netemu.api import kinds
from netemu.controllers.cronjob.schedule import Schedule, ScheduleError

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC).timestamp()


def cron(make, schedule="*/5 * * * *", **spec):
    template = {"spec": {"template": make.template("tick", restartPolicy="Never")}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }


async def jobs(cluster):
    items = (await cluster.client.list(kinds.JOBS, "default")).items
    return sorted(job["metadata"]["name"] for job in items)


@pytest.fixture
async def cluster(start_cluster):
    async with start_cluster(clock=FakeClock(NOON)) as found:
        yield found


async def test_a_job_for_each_time_and_a_short_history(cluster, make):
    cluster.kubelets.outcome = lambda pod: "Succeeded"
    await cluster.client.create(kinds.CRON_JOBS, cron(make, successfulJobsHistoryLimit=2))
    await cluster.settle(5 * 60)
    (first,) = await jobs(cluster)
    assert first == f"tick-{int(NOON - 30) // 60 + 5}"
    for _ in range(3):
        await cluster.settle(5 * 60)
    assert len(await jobs(cluster)) == 2
    found = await cluster.client.get(kinds.CRON_JOBS, "tick", "default")
    assert "lastSuccessfulTime" in found["status"]
    assert not found["status"].get("active")


async def test_forbid_skips_while_one_runs(cluster, make):
    await cluster.client.create(kinds.CRON_JOBS, cron(make, concurrencyPolicy="Forbid"))
    await cluster.settle(11 * 60)
    assert len(await jobs(cluster)) == 1


async def test_replace_takes_the_running_one_away(cluster, make):
    await cluster.client.create(kinds.CRON_JOBS, cron(make, concurrencyPolicy="Replace"))
    await cluster.settle(5 * 60)
    (before,) = await jobs(cluster)
    await cluster.settle(5 * 60)
    (after,) = await jobs(cluster)
    assert before != after


async def test_suspend(cluster, make):
    await cluster.client.create(kinds.CRON_JOBS, cron(make, suspend=True))
    await cluster.settle(11 * 60)
    assert await jobs(cluster) == []


@pytest.mark.parametrize(
    ("line", "zone", "start", "expected"),
    [
        ("0 9 * * *", "", "2026-03-01T08:00:00+00:00", "2026-03-01T09:00:00+00:00"),
        ("0 9 * * *", "Asia/Tokyo", "2026-03-01T08:00:00+00:00", "2026-03-02T00:00:00+00:00"),
        ("@hourly", "", "2026-03-01T08:10:00+00:00", "2026-03-01T09:00:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:30:00+00:00"),
    ],
)
def test_next_time(line, zone, start, expected):
    found = Schedule(line, zone).after(datetime.fromisoformat(start).timestamp())
    assert found == pytest.approx(datetime.fromisoformat(expected).timestamp(), abs=3600)


@pytest.mark.parametrize(
    ("line", "zone"), [("* * *", ""), ("61 * * * *", ""), ("0 0 * * * *", ""), ("@daily", "Mars/X")]
)
def test_unreadable_schedules(line, zone):
    with pytest.raises(ScheduleError):
        Schedule(line, zone)


def test_latest_of_the_missed_times():
    schedule = Schedule("*/10 * * * *")
    start = datetime(2026, 3, 1, 12, 1, tzinfo=UTC).timestamp()
    assert schedule.latest(start, start + 300) == (None, False)
    moment, many = schedule.latest(start, start + 1800)
    assert datetime.fromtimestamp(moment, UTC).minute == 30
    assert not many
    assert schedule.latest(start, start + 3 * 86400)[1]
