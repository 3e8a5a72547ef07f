"""What our asyncio code shares: owned tasks, one clock, and a debouncer."""

from netemu.aio.clock import Clock, FakeClock, SystemClock
from netemu.aio.debounce import Debouncer
from netemu.aio.tasks import Component, spawn

__all__ = ["Clock", "Component", "Debouncer", "FakeClock", "SystemClock", "spawn"]
