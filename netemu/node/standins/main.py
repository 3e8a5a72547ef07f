"""Entry of the stand-in process: `python -S -I -c BOOT DIRECTORY`. The supervisor starts it."""

from __future__ import annotations

import os
import resource
import signal
import sys

from netemu.node.standins.server import StandIns
from netemu.node.supervisor import kernel
from netemu.node.supervisor.connection import Server, listen
from netemu.node.supervisor.loop import Loop


def main(arguments: list[str]) -> None:
    (directory,) = arguments
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(f"{directory}/standins.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loop = Loop()
    standins = StandIns(loop)
    server = Server(loop, listen(f"{directory}/standins.sock"), standins.handle)
    standins.serve(server)
    loop.run()
