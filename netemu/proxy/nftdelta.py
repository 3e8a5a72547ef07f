"""Which elements and chains of a table change when some Services change.

Most elements belong to one Service. Some may be wanted by several at once (an endpoint's hairpin,
an external address claimed twice): these are kept by owner, the last one in order counts, and an
element goes only with its last owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from netemu.netstate.nftables import Chain, Delta, NftSet, Table
from netemu.proxy.endpoints import Service
from netemu.proxy.model import NodeView
from netemu.proxy.nftables import ServiceNft, assemble

Compile = Callable[[Service, NodeView], ServiceNft]
Elements = dict[str, dict[str, str]]


def _merged(parts: Iterable[ServiceNft]) -> ServiceNft:
    """All ports of one Service as one."""
    whole = ServiceNft()
    for part in parts:
        for target, source in (
            (whole.elements, part.elements),
            (whole.contested, part.contested),
        ):
            for name, elements in source.items():
                target.setdefault(name, {}).update(elements)
        whole.chains.update(part.chains)
        whole.sets.update(part.sets)
        whole.common_chains.update(part.common_chains)
    return whole


class NftState:
    """What one table holds, Service by Service; knows what to send when one changes."""

    def __init__(self, skeleton: Table, compile_service: Compile, node: NodeView) -> None:
        self.skeleton, self._compile, self._node = skeleton, compile_service, node
        self._services: dict[str, Sequence[Service]] = {}
        self._owners: dict[tuple[str, str], dict[str, str]] = {}
        self._common: dict[str, Chain] = {}
        self.stale: set[str] = set()
        """Chains emptied and not deleted yet."""

    def table(self) -> Table:
        """The whole, as a value."""
        ordered = (s for key in sorted(self._services) for s in self._services[key])
        return assemble(self.skeleton, (self._compile(s, self._node) for s in ordered))

    def load(self, services: Mapping[str, Sequence[Service]]) -> None:
        """Take `services` as what the table holds, without asking what that needs."""
        self._services = dict(services)
        self._owners, self.stale = {}, set()
        self._common = {}
        for key, ports in self._services.items():
            compiled = _merged(self._compile(s, self._node) for s in ports)
            self._own(key, compiled.contested)
            self._common.update(compiled.common_chains)

    def _own(self, key: str, contested: Mapping[str, Mapping[str, str]]) -> None:
        for name, elements in contested.items():
            for element, value in elements.items():
                self._owners.setdefault((name, element), {})[key] = value

    def change(self, changes: Iterable[tuple[str, Sequence[Service], Sequence[Service]]]) -> Delta:
        """The delta for (key, old ports, new ports); takes them as done."""
        delta, compiled = Delta(), []
        for key, old_ports, new_ports in changes:
            old = _merged(self._compile(s, self._node) for s in old_ports)
            new = _merged(self._compile(s, self._node) for s in new_ports)
            if new_ports:
                self._services[key] = new_ports
            else:
                self._services.pop(key, None)
            self._chains(delta, old, new)
            self._contested(delta, key, old.contested, new.contested)
            compiled.append((old, new))
        # Afterwards: what was an external address may be another Service's ClusterIP now.
        for old, new in compiled:
            self._elements(delta, old.elements, new.elements)
        return delta

    def _chains(self, delta: Delta, old: ServiceNft, new: ServiceNft) -> None:
        for name, chain in new.common_chains.items():
            if self._common.get(name) != chain:
                self._common[name] = delta.chains[name] = chain
        for name, chain in new.chains.items():
            if old.chains.get(name) != chain or name in self.stale:
                delta.chains[name] = chain
                self.stale.discard(name)
        dropped = [name for name in old.chains if name not in new.chains]
        delta.dropped_chains += dropped
        self.stale |= set(dropped)
        for name, value in new.sets.items():
            if name not in old.sets:
                delta.sets[name] = value
        for name, value in old.sets.items():
            if name not in new.sets:
                delta.dropped_sets[name] = value.word

    @staticmethod
    def _elements(delta: Delta, old: Elements, new: Elements) -> None:
        for name in {**old, **new}:
            before, after = old.get(name, {}), new.get(name, {})
            for element, value in before.items():
                if after.get(element) != value:
                    delta.removed.setdefault(name, []).append(element)
            for element, value in after.items():
                if before.get(element) != value:
                    delta.added.setdefault(name, {})[element] = value

    def _contested(self, delta: Delta, key: str, old: Elements, new: Elements) -> None:
        for name in {**old, **new}:
            before, after = old.get(name, {}), new.get(name, {})
            for element in {**before, **after}:
                owners = self._owners.setdefault((name, element), {})
                was = owners[max(owners)] if owners else None
                owners.pop(key, None)
                if element in after:
                    owners[key] = after[element]
                now = owners[max(owners)] if owners else None
                if not owners:
                    del self._owners[name, element]
                if was == now:
                    continue
                if was is not None and element not in delta.added.get(name, {}):
                    delta.removed.setdefault(name, []).append(element)
                if now is not None:
                    delta.added.setdefault(name, {})[element] = now
                else:
                    delta.added.get(name, {}).pop(element, None)

    def sets(self) -> Mapping[str, NftSet]:
        """The sets that all Services share: their types."""
        return self.skeleton.sets
