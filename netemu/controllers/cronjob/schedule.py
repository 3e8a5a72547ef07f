"""The times of a cron line, in its time zone. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

MOST_MISSED = 100


class ScheduleError(ValueError):
    """The line or the time zone cannot be read."""


class Schedule:
    """`after` and `latest` take and give seconds since the epoch."""

    def __init__(self, line: str, zone: str = "") -> None:
        """`zone`: an IANA name; empty: UTC, the time zone of our controllers."""
        try:
            self._zone: tzinfo = ZoneInfo(zone) if zone else UTC
        except (KeyError, ValueError, OSError) as error:
            raise ScheduleError(f"unknown time zone {zone}") from error
        fields = line.split()
        if len(fields) != (1 if line.startswith("@") else 5):
            raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{line}]")
        from croniter import CroniterError, croniter  # 50 ms, for clusters with CronJobs only

        self._line, self._iterate = line, croniter
        try:
            croniter(line)
        except (CroniterError, ValueError, KeyError) as error:
            raise ScheduleError(f"{line}: {error}") from error

    def after(self, moment: float) -> float:
        """The first time after `moment`."""
        start = datetime.fromtimestamp(moment, self._zone)
        found: datetime = self._iterate(self._line, start).get_next(datetime)
        return found.timestamp()

    def latest(self, after: float, now: float) -> tuple[float | None, bool]:
        """(the last time in (after, now], whether very many were missed)."""
        first = self.after(after)
        if first > now:
            return None, False
        newest: datetime = self._iterate(
            self._line, datetime.fromtimestamp(now + 1, self._zone)
        ).get_prev(datetime)
        latest = newest.timestamp()
        missed, moment = 1, first
        while moment < latest and missed <= MOST_MISSED:
            moment = self.after(moment)
            missed += 1
        return max(first, latest), missed > MOST_MISSED
