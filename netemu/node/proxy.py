"""kube-proxy of one node: Services and EndpointSlices in, rules in the node's kernel out.

Changes of one burst make one sync. What was programmed is reported to the API as a revision, so
that `apply` can wait for packets to flow instead of sleeping. A sync that fails is repeated as a
full one; a full one runs hourly as well, and whenever the rules were removed behind our back.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/runner/bounded_frequency_runner.go
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from netemu.aio import Clock, SystemClock, spawn
from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.node import NODES
from netemu.api.kinds.service import SERVICES
from netemu.api.kinds.servicecidr import SERVICE_CIDRS
from netemu.client.events import EventRecorder
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.errors import CapabilityError, DataplaneError
from netemu.node import proxymodes
from netemu.node.healthcheck import HEALTHZ_PORT, Answer, healthz
from netemu.node.healthports import HealthServers, HttpPort
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymetrics import METRICS_PORT, page
from netemu.node.proxyoptions import ProxyOptions, families, of_family, view_of
from netemu.node.proxysysctl import CONNTRACK, apply_sysctls, observe_be_liberal
from netemu.proxy import nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.model import SELECTOR, NodeView, service_of_slice, unusable_addresses
from netemu.proxy.services import SharedDecisions, seen_from, service_ranges

log = logging.getLogger(__name__)

FULL_SYNC_PERIOD = 3600.0
FIRST_RETRY, LAST_RETRY = 0.5, 30.0
_INLINE = 64
"""So few Services are decided in the loop's own thread; more would hold it up."""


def _placed(node: Object | None) -> object:
    """What of a Node object rules depend on."""
    return node and (meta.labels(node), (node.get("status") or {}).get("addresses"))


@dataclass(slots=True)
class _Pending:
    """What the informers have told since the last sync."""

    keys: set[str] = field(default_factory=set)
    node_changed: bool = True
    full: bool = False


class NodeProxy:
    """The proxy of `node_name`, whose namespace is at `path` (`/run/netns/…`)."""

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        path: str,
        options: ProxyOptions | None = None,
        *,
        clock: Clock | None = None,
        events: EventRecorder | None = None,
        decisions: SharedDecisions | None = None,
    ) -> None:
        """`decisions` may be one for all nodes of a process: they read each object once then."""
        self._decisions = decisions or SharedDecisions()
        self.options = options or ProxyOptions()
        self._client, self._name, self._path = client, node_name, path
        self._clock, self._events = clock or SystemClock(), events
        self._services = Informer(client, SERVICES, labels=SELECTOR)
        self._slices = Informer(
            client,
            ENDPOINT_SLICES,
            labels=SELECTOR,
            indexers={"service": lambda obj: [service_of_slice(obj)]},
        )
        self._nodes = Informer(client, NODES, fields=f"metadata.name={node_name}")
        self._cidrs = Informer(client, SERVICE_CIDRS)
        self._informers = (self._services, self._slices, self._nodes, self._cidrs)
        self._pending = _Pending()
        self._wake = asyncio.Event()
        self._syncing = asyncio.Lock()
        self._reported = -1
        self._healthy, self._updated = False, 0.0
        self._unusable: dict[str, tuple[str, ...]] = {}
        """Addresses left out, by Service key: what users have been told of."""
        self._lost: dict[tuple[str, int], tuple[str, ...]] = {}
        """Addresses that another Service has, by key and family: what users have been told of."""
        self._families = self._open_families(self.options)
        self._health = HealthServers(path, lambda: self._healthy)
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        self._nodes.on_change(self._node_changed)
        self._cidrs.on_change(self._cidr_changed)
        for informer in self._informers:
            informer.on_progress(lambda revision: self._wake.set())

    def _open_families(self, options: ProxyOptions) -> list[FamilyProxy]:
        return [
            FamilyProxy(
                self._path,
                view_of(self._name, family, options),
                proxymodes.open_backend(options.mode, self._path, family, options.lock_file),
            )
            for family in families(options)
        ]

    @property
    def mode(self) -> str:
        return self.options.mode

    @property
    def families(self) -> frozenset[int]:
        """The IP families whose Services it serves."""
        return frozenset(family.view.family for family in self._families)

    def services(self, family: int = 4) -> Mapping[str, tuple[Service, ...]]:
        """What the node's rules hold now, by Service key."""
        return next((f.services for f in self._families if f.view.family == family), {})

    def view(self, family: int = 4) -> NodeView:
        """The node as its rules see it."""
        return next(f.view for f in self._families if f.view.family == family)

    # --- what the informers say -------------------------------------------------------------

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        self._pending.keys.add(meta.key(changed))
        self._wake.set()

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        self._pending.keys |= {service_of_slice(obj) for obj in (old, new) if obj}
        self._wake.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        # A kubelet's heartbeat changes nothing here; looking at the addresses costs a program.
        self._pending.node_changed |= _placed(old) != _placed(new)
        self._wake.set()

    def _cidr_changed(self, old: Object | None, new: Object | None) -> None:
        self._pending.node_changed |= (old or {}).get("spec") != (new or {}).get("spec")
        self._wake.set()

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. The rules stay when it ends, as kube-proxy's do."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                spawn(group, informer.run(), name=f"{self._name}/proxy informer")
            for informer in self._informers:
                await informer.wait_synced()
            spawn(group, self._watch_over(), name=f"{self._name}/proxy upkeep")
            await apply_sysctls(self._path, CONNTRACK)
            told = await self._open_pages()
            try:
                await self._sync_forever()
            finally:
                for port in told:
                    await port.close()
                await self._health.close()
                for family in self._families:
                    family.close()

    async def _open_pages(self) -> list[HttpPort]:
        """/healthz for everyone, metrics for the node itself."""
        wanted = [(HEALTHZ_PORT, self._healthz, ""), (METRICS_PORT, self._metrics, "127.0.0.1")]
        opened = []
        for port, answers, address in wanted:
            try:
                opened.append(await HttpPort.open(self._path, port, answers, address))
            except OSError as error:
                where = f"{self._name}:{port}"
                log.warning("port not opened", extra={"kv": {"port": where, "why": error}})
        return opened

    def _metrics(self, path: str) -> Answer:
        services = {f.view.family: list(chain(*f.services.values())) for f in self._families}
        return page(path, mode=self.mode, services=services, updated=self._updated)

    def _healthz(self, path: str) -> Answer:
        return healthz(
            path,
            node=self._nodes.get(self._name),
            healthy=self._healthy,
            updated=self._updated,
            now=self._clock.now(),
        )

    async def _sync_forever(self) -> None:
        retry, others_gone = FIRST_RETRY, False
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._sync_once()
                retry = FIRST_RETRY
                if not others_gone:
                    await self._clean_others()
                    others_gone = True
            except (DataplaneError, CapabilityError, OSError) as error:
                self._healthy = False
                log.error("sync failed", extra={"kv": {"node": self._name, "why": str(error)}})
                await self._clock.sleep(retry)
                retry = min(retry * 2, LAST_RETRY)
                self._wake.set()
            if self.options.min_sync_period > 0:
                await self._clock.sleep(self.options.min_sync_period)

    async def _clean_others(self) -> None:
        """What a former proxy of this node left, had it another mode."""
        async with self._syncing:
            for family in self._families:
                found = await proxymodes.clean_others(
                    self.mode, self._path, family.view.family, self.options.lock_file
                )
                if found & {"iptables", "ipvs"} and self.mode in ("iptables", "ipvs"):
                    # These two own chains of one name: what was removed was ours as well.
                    self._pending.full = True
                    self._wake.set()

    async def _sync_once(self) -> None:
        revision = min(informer.revision for informer in self._informers)
        async with self._syncing:
            pending, self._pending = self._pending, _Pending(node_changed=False)
            if pending.keys or pending.node_changed or pending.full or self._unsettled():
                try:
                    await self._sync(pending)
                except BaseException:
                    self._pending.keys |= pending.keys
                    self._pending.node_changed |= pending.node_changed
                    self._pending.full = True
                    raise
        self._healthy, self._updated = True, self._clock.now()
        if revision > self._reported:
            self._reported = revision
            await self._client.report_progress(f"{self._name}/proxy", revision)
        async with self._syncing:
            for family in self._families:
                await family.backend.settle()

    def _unsettled(self) -> bool:
        return any(family.needs_full and not family.left_out for family in self._families)

    async def _sync(self, pending: _Pending) -> None:
        node = self._nodes.get(self._name)
        touched: set[str] = set()
        for family in self._families:
            view = await self._seen(node, family.view) if pending.node_changed else family.view
            keys = pending.keys
            if view != family.view:
                family.view, family.needs_full = view, True
                keys = self._all_keys() | set(family.services)
            family.needs_full |= pending.full
            fresh = await self._decide(keys, view)
            await family.sync(fresh)
            await self._tell_left_out(family)
            await self._tell_lost(family)
            touched |= keys
        await self._tell_unusable(touched)
        for key in touched:
            ports = next((f.services[key] for f in self._families if key in f.services), ())
            self._health.note(key, ports)
        await self._serve_health()

    async def _seen(self, node: Object | None, view: NodeView) -> NodeView:
        addresses = await proxymodes.observe_addresses(self._path, view.family)
        liberal = await observe_be_liberal(self._path)
        configured = of_family(self.options.service_cidrs, view.family)
        view = replace(
            view,
            addresses=addresses,
            conntrack_be_liberal=liberal,
            service_cidrs=configured,
        )
        return service_ranges(seen_from(node, view), self._cidrs.objects.values())

    def _all_keys(self) -> set[str]:
        return set(self._services.objects)

    async def _decide(self, keys: set[str], view: NodeView) -> dict[str, tuple[Service, ...]]:
        inputs = [
            (key, self._services.get(key), self._slices.by_index("service", key))
            for key in sorted(keys)
        ]

        def decide() -> dict[str, tuple[Service, ...]]:
            return {
                key: self._decisions.decide(key, obj, slices, view) for key, obj, slices in inputs
            }

        return decide() if len(inputs) <= _INLINE else await asyncio.to_thread(decide)

    async def _serve_health(self) -> None:
        views = [family.view for family in self._families]
        failed = await self._health.sync(nodeports.listening(views, self.mode))
        for key, why in sorted(failed.items()):
            text = f"{self._name}: the health check for load balancers does not answer: {why}"
            log.warning("health check port not opened", extra={"kv": {"service": key, "why": why}})
            service = self._services.get(key)
            if service is not None and self._events is not None:
                reason = "FailedToStartServiceHealthcheck"
                await self._events.event(service, SERVICES, "Warning", reason, text)

    async def _tell_left_out(self, family: FamilyProxy) -> None:
        for key in sorted(family.left_out):
            log.error("rules refused", extra={"kv": {"node": self._name, "service": key}})
            service = self._services.get(key)
            if service is not None and self._events is not None:
                await self._events.event(
                    service,
                    SERVICES,
                    "Warning",
                    "RulesRefused",
                    f"{self._name}: the kernel refused the rules of this Service; it is left out",
                )

    async def _tell_unusable(self, keys: set[str]) -> None:
        """Name the addresses that hand-written endpoints have and nobody can be sent to."""
        for key in sorted(keys):
            found = unusable_addresses(self._slices.by_index("service", key))
            told = self._unusable.pop(key, ())
            if found:
                self._unusable[key] = found
            service = self._services.get(key)
            if not set(found) - set(told) or service is None or self._events is None:
                continue
            text = f"{self._name}: no packet can be sent to {', '.join(found)}; left out"
            await self._events.event(service, SERVICES, "Warning", "EndpointLeftOut", text)

    async def _tell_lost(self, family: FamilyProxy) -> None:
        """Name the external addresses that a Service asks for and another one has."""
        number = family.view.family
        known = {key: lost for (key, of), lost in self._lost.items() if of == number}
        for key in known.keys() - family.claims.lost.keys():
            del self._lost[key, number]
        for key, lost in sorted(family.claims.lost.items()):
            service = self._services.get(key)
            if known.get(key) == lost or service is None or self._events is None:
                continue
            self._lost[key, number] = lost
            text = f"{self._name}: served for another Service: {', '.join(lost)}"
            await self._events.event(service, SERVICES, "Warning", "AddressTaken", text)

    # --- upkeep -----------------------------------------------------------------------------

    async def _watch_over(self) -> None:
        """Look after the rules each sync period; ask for a full sync when due or needed."""
        last_full = self._clock.monotonic()
        while True:
            await self._clock.sleep(self.options.sync_period)
            async with self._syncing:
                intact = await self._upkeep()
            due = self._clock.monotonic() - last_full >= FULL_SYNC_PERIOD
            if due or not intact:
                last_full = self._clock.monotonic()
                self._pending.full = True
            # Addresses come and go without the Node object's saying so (cni0, a second link).
            self._pending.node_changed = True
            self._wake.set()

    async def _upkeep(self) -> bool:
        intact = True
        for family in self._families:
            try:
                intact &= await family.backend.is_intact()
                await family.backend.maintain()
                intact &= not family.left_out
            except (DataplaneError, OSError) as error:
                log.warning("upkeep", extra={"kv": {"node": self._name, "why": str(error)}})
                intact = False
        return intact

    async def set_mode(self, mode: str) -> None:
        """Switch to another proxy mode; nothing of the old one stays.

        New rules come before the old ones go, except where both own chains of one name. If they
        don't come, the old mode stays.
        """
        async with self._syncing:
            if mode == self.options.mode:
                return
            shared = {"iptables", "ipvs"} == {self.options.mode, mode}
            former, options = self._families, replace(self.options, mode=mode)
            fresh = self._open_families(options)
            try:
                if shared:
                    await _clean(former)
                for old, new in zip(former, fresh, strict=True):
                    new.view = old.view
                    await new.sync(old.claims.asked)
            except BaseException:
                await self._back_to(former, fresh)
                raise
            self._families, self.options = fresh, options
            if not shared:
                await _clean(former)
            for family in fresh:
                await self._tell_left_out(family)
            await self._serve_health()

    async def _back_to(self, former: Sequence[FamilyProxy], fresh: Sequence[FamilyProxy]) -> None:
        """Take away what came of another mode, and put in anew what that may have taken."""
        with contextlib.suppress(DataplaneError, CapabilityError, OSError):
            await _clean(fresh)
        for family in former:
            family.needs_full = True
        self._pending.full = True
        self._wake.set()

    async def clean(self) -> None:
        """Take all rules out of the node."""
        async with self._syncing:
            await _clean(self._families)
            for family in self._families:
                family.needs_full = True


async def _clean(families: Sequence[FamilyProxy]) -> None:
    for family in families:
        await family.backend.clean()
        family.close()
