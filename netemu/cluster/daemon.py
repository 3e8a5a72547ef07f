"""The daemon's process: `python -m netemu.cluster.daemon NAME GO-FD SAY-FD`.

It ends on SIGTERM and SIGINT and leaves the data plane as it is: rules, links and pods need nobody.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys

from netemu import log as logs
from netemu.cluster.control_plane import ControlPlane
from netemu.cluster.report import Report
from netemu.cluster.state import load_config
from netemu.config import ClusterConfig
from netemu.errors import NetemuError
from netemu.node.ledger import Ledger
from netemu.node.network_maker import NetworkMaker

log = logging.getLogger(__name__)


async def serve(config: ClusterConfig, report: Report, maker: NetworkMaker) -> None:
    """Run the cluster until a signal asks to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    run = loop.create_task(ControlPlane(config, report, maker).run(), name="control-plane")
    stopped = loop.create_task(stop.wait(), name="stop")
    await asyncio.wait({run, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    run.cancel()
    try:
        await run
    except asyncio.CancelledError:
        log.info("stopped", extra={"kv": {"cluster": config.name}})


def _cause(error: BaseException) -> BaseException:
    """The first real error inside nested task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> int:
    name, go, say = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    report = Report(say)
    logs.configure(os.environ.get("NETEMU_LOG_LEVEL", "INFO"))
    if not os.read(go, 1):
        return 1  # whoever started us died before the ledger knew us
    # With 1,000 pods the collector's default thresholds take two fifths of all processor time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        config = load_config(name)
        maker = NetworkMaker.fork(close=(go, say))
        Ledger(config.run_dir).record(
            "process", pid=maker.process.pid, start_time=maker.process.start_time
        )
        asyncio.run(serve(config, report, maker))
    except Exception as error:
        cause = _cause(error)
        log.exception("the daemon failed")
        if isinstance(cause, NetemuError):
            report.error(str(cause), cause.hint)
        elif isinstance(cause, OSError) and cause.strerror:
            where = f"{cause.filename}: " if cause.filename else ""
            report.error(f"{where}{cause.strerror}")
        else:
            report.error(f"{type(cause).__name__}: {cause}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
