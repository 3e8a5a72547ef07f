"""What runs on the machines outside the cluster: each host's image, in the host's own namespace.

The images are the pods' (see `images.py`), run by a supervisor of their own, so that they outlive
the daemon as pods do. A program that ends is started again, as an init system would.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from netemu.aio import Clock, spawn
from netemu.config import ClusterConfig, HostConfig
from netemu.errors import DataplaneError
from netemu.node.images import ImageTable, Port, Program, StandIn, Unknown
from netemu.node.kubelet.runtime import Runtime
from netemu.node.kubelet.states import PROCESS, STAND_IN
from netemu.node.ledger import Ledger
from netemu.node.machine import Machine

log = logging.getLogger(__name__)

RESTART_DELAY = 1.0


class OutsideHosts:
    """Runs the images of `config.hosts` on `machines`, which the fabric has by name."""

    def __init__(
        self, config: ClusterConfig, machines: Mapping[str, Machine], ledger: Ledger, clock: Clock
    ) -> None:
        self._config, self._machines, self._clock = config, machines, clock
        self._images = ImageTable(config)
        self._directory = config.run_dir / "hosts"
        self._runtime = Runtime(self._directory, f"netemu-{config.name}-hosts", ledger)
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Until cancelled; the programs go on."""
        hosts = {host.name: host for host in self._config.hosts if host.image or host.command}
        if not hosts:
            return
        self._runtime.on_exit = lambda container: self._ended.put_nowait(container["name"])
        self._runtime.on_lost = lambda kind: self._lost(hosts)
        await self._runtime.open()
        try:
            async with asyncio.TaskGroup() as group:
                spawn(group, self._runtime.run(), name="hosts/runtime")
                known = {c["name"] for kind in self._runtime.known.values() for c in kind.values()}
                for name in hosts.keys() - known:
                    await self._start(hosts[name])
                while True:
                    await self._restart(hosts[await self._ended.get()])
        finally:
            await self._runtime.close()

    def _lost(self, hosts: Mapping[str, HostConfig]) -> None:
        """A runtime died, and with it the programs that it ran."""
        for name in hosts:
            self._ended.put_nowait(name)

    async def _restart(self, host: HostConfig) -> None:
        log.warning("host's program ended", extra={"kv": {"host": host.name}})
        await self._clock.sleep(RESTART_DELAY)
        try:
            await self._runtime.reopen()
            for kind in (PROCESS, STAND_IN):
                await self._runtime.remove(kind, [f"host-{host.name}"])
            await self._start(host)
        except DataplaneError as error:
            log.error("host not restarted", extra={"kv": {"host": host.name, "why": error}})
            self._ended.put_nowait(host.name)

    async def _start(self, host: HostConfig) -> None:
        machine = self._machines[host.name]
        ports = tuple(Port(port=port) for port in host.ports)
        found = self._images.resolve(host.image, host.command, host.args, ports)
        await self._runtime.add_pod(
            {"uid": f"host-{host.name}", "hostname": host.name}, machine.netns
        )
        try:
            if isinstance(found, Program):
                await self._runtime.start_process(self._process(host, found))
            elif isinstance(found, StandIn):
                await self._runtime.start_standin(
                    self._standin(host, machine, found), machine.netns
                )
            elif isinstance(found, Unknown):
                raise DataplaneError(host.name, "start", stderr=found.message)
        except DataplaneError as error:
            log.error("host's program not started", extra={"kv": {"host": host.name, "why": error}})

    def _common(self, host: HostConfig, kind: str) -> dict[str, Any]:
        return {
            "id": f"host-{host.name}",
            "pod": f"host-{host.name}",
            "name": host.name,
            "meta": {"kind": kind},
            "log": str(self._directory / f"{host.name}.log"),
        }

    def _process(self, host: HostConfig, program: Program) -> dict[str, Any]:
        spec = {
            **self._common(host, PROCESS),
            "argv": list(program.argv),
            "env": {"HOSTNAME": host.name, **program.env},
            "cwd": program.cwd or "/",
        }
        return spec | ({"rootfs": program.rootfs} if program.rootfs else {})

    def _standin(self, host: HostConfig, machine: Machine, standin: StandIn) -> dict[str, Any]:
        identity = {
            "pod": host.name,
            "namespace": "",
            "node": host.name,
            "ip": machine.address,
            "container": host.name,
            "image": host.image,
        }
        return {
            **self._common(host, STAND_IN),
            "program": standin.program,
            "ports": [{"port": each.port, "protocol": each.protocol} for each in standin.ports],
            "identity": identity,
        }
