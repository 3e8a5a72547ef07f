"""Mininet's single,N with a Linux bridge; run by bench_mininet with the distribution's Python.

Usage: mininet_single HOSTS STARTED, where STARTED is CLOCK_MONOTONIC when the command was started:
netemu's commands are timed with their start, too. Prints one JSON object: seconds until the network
was up, of these to build and start it, to stop it, and whether the last host was reached.
"""

import json
import sys
import time

from mininet.link import Link
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo

setLogLevel("error")
hosts, started = int(sys.argv[1]), float(sys.argv[2])
build = time.monotonic()
net = Mininet(
    topo=SingleSwitchTopo(hosts),
    switch=LinuxBridge,
    controller=None,
    link=Link,
    waitConnected=False,
)
net.start()
up = time.monotonic()
answer = net.hosts[0].cmd(f"ping -c1 -W2 {net.hosts[-1].IP()}")
stop = time.monotonic()
net.stop()
figures = {"up": up - started, "build": up - build, "down": time.monotonic() - stop}
print(json.dumps({**figures, "ping": "1 received" in answer}))
