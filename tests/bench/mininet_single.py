"""Mininet's single,N with a Linux bridge; run by bench_mininet with the distribution's Python.

Prints one JSON object: seconds to build and start, to stop, and whether the last host was reached.
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
hosts = int(sys.argv[1])
start = time.perf_counter()
net = Mininet(
    topo=SingleSwitchTopo(hosts),
    switch=LinuxBridge,
    controller=None,
    link=Link,
    waitConnected=False,
)
net.start()
up = time.perf_counter() - start
answer = net.hosts[0].cmd(f"ping -c1 -W2 {net.hosts[-1].IP()}")
start = time.perf_counter()
net.stop()
print(json.dumps({"up": up, "down": time.perf_counter() - start, "ping": "1 received" in answer}))
