"""iptables rules into a node's kernel: one `iptables-restore --noflush` a sync.

A partial sync rewrites the shared chains and the own chains of the changed Services (KEP-3453).
iptables-nft works superlinearly on one large input (31 s for 5,000 Services of 5 endpoints, where
pieces of 1,500 chains take 2 s), so what is larger goes in pieces: a Service's own chains first,
the shared chains, which lead packets to them, last and at once. iptables-legacy reads and writes
the whole table with each input: there all goes in one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence

from netemu.errors import DataplaneError
from netemu.netstate.iptables import Jump, Restore, Tables, jump_target, missing_jumps, parse
from netemu.node import netns, xtables
from netemu.node.proxybackend import Change, Services, in_order
from netemu.node.proxysysctl import NO_ROUTE_LOCALNET, ROUTE_LOCALNET, apply_sysctls
from netemu.proxy import iptables as layout
from netemu.proxy import nodeports
from netemu.proxy.endpoints import Service
from netemu.proxy.model import NodeView

_INLINE = 200
"""With so few Services a change is planned in the loop's own thread."""
PIECE = 1500
"""Chains in one input to iptables-restore of nf_tables."""


class IptablesTool:
    """The programs iptables-save and iptables-restore in one namespace, for one family."""

    def __init__(self, path: str, family: int = 4, lock_file: str = "") -> None:
        self._path = path
        self._prefix = "ip6tables" if family == 6 else "iptables"
        # Nodes share the machine's files: one lock a node, or they would wait for each other.
        self._env = {"XTABLES_LOCKFILE": lock_file} if lock_file else None

    async def piece(self) -> int:
        """How many chains one input to iptables-restore should hold at the most."""
        back_end = await asyncio.to_thread(xtables.back_end, f"{self._prefix}-restore")
        return sys.maxsize if back_end == xtables.LEGACY else PIECE

    async def save(self) -> dict[str, dict[str, list[str]]]:
        out = await netns.run(self._path, [f"{self._prefix}-save"], timeout=60, env=self._env)
        return parse(out.decode())

    async def restore(self, text: str, *, test: bool = False) -> None:
        argv = [f"{self._prefix}-restore", "-w", "5", "--noflush", "--counters"]
        argv += ["--test"] if test else []
        await netns.run(self._path, argv, stdin=text.encode(), timeout=120, env=self._env)

    async def chains_exist(self, chains: Sequence[tuple[str, str]]) -> bool:
        for table, chain in chains:
            argv = [self._prefix, "-w", "5", "-t", table, "-S", chain, "1"]
            try:
                await netns.run(self._path, argv, timeout=30, env=self._env)
            except DataplaneError:
                return False
        return True

    async def rules_exist(self, chains: Sequence[tuple[str, str]]) -> bool:
        """Whether each of `chains` has a rule."""
        for table, chain in chains:
            argv = [self._prefix, "-w", "5", "-t", table, "-S", chain, "1"]
            if not (await netns.run(self._path, argv, timeout=30, env=self._env)).strip():
                return False
        return True


def pieces(restore: Restore, size: int = PIECE) -> Iterator[str]:
    """`restore` as one text, or as several when it has more than `size` chains."""
    nat = restore.tables.get("nat", {})
    own = {c: rules for c, rules in nat.items() if c.startswith(layout.OWN_PREFIXES)}
    gone = list(restore.deletes.get("nat", ()))
    if len(own) + len(gone) <= size:
        yield restore.render()
        return
    shared = {c: rules for c, rules in nat.items() if c not in own}
    yield Restore(tables={"nat": {"KUBE-MARK-MASQ": nat.get("KUBE-MARK-MASQ", ())}}).render()
    yield from _in_pieces(own, size)
    rest: Tables = {**restore.tables, "nat": shared}
    yield Restore(tables=rest, inserts=restore.inserts, remove_jumps=restore.remove_jumps).render()
    yield from _deletions(gone, size)


_JUMP_ORDER = ("KUBE-FW-", "KUBE-EXT-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-")
"""Each kind of chain jumps to later ones only."""


def _deletions(gone: Sequence[str], size: int) -> Iterator[str]:
    """Those that jump first: the kernel keeps a chain to which another one leads."""
    ordered = [c for prefix in _JUMP_ORDER for c in gone if c.startswith(prefix)]
    for at in range(0, len(ordered), size):
        part = ordered[at : at + size]
        yield Restore(tables={"nat": {}}, deletes={"nat": part}).render()


def _in_pieces(own: Mapping[str, Sequence[str]], size: int) -> Iterator[str]:
    """A chain and those that it jumps to stay together, so each piece stands by itself."""
    piece: dict[str, Sequence[str]] = {}
    for chain, rules in own.items():
        # The compiler gives KUBE-EXT, -FW, -SVC, -SVL, then their KUBE-SEPs: cut before a head.
        head = not chain.startswith("KUBE-SEP-")
        after_endpoints = bool(piece) and next(reversed(piece)).startswith("KUBE-SEP-")
        if len(piece) >= size and head and after_endpoints:
            yield Restore(tables={"nat": piece}).render()
            piece = {}
        piece[chain] = rules
    if piece:
        yield Restore(tables={"nat": piece}).render()


class IptablesBackend:
    """iptables mode on one node, one family."""

    def __init__(self, path: str, family: int = 4, lock_file: str = "") -> None:
        self._path, self._family = path, family
        self._tool = IptablesTool(path, family, lock_file)
        self._compiled: dict[str, list[layout.ServiceRules]] = {}
        self._chains: set[str] = set()
        """Own chains that the kernel holds."""
        self._shared: Tables = {}
        self._comments = True
        self._piece = PIECE

    async def replace(self, services: Services, node: NodeView) -> None:
        """While iptables-restore works on one piece, the next one is compiled."""
        if nodeports.serves_localhost(node):
            await apply_sysctls(self._path, ROUTE_LOCALNET)
        self._piece = await self._tool.piece()
        texts = self._full(services, node, await self._tool.save())
        text = await asyncio.to_thread(next, texts, "")
        while text:
            outcomes = await asyncio.gather(
                asyncio.to_thread(next, texts, ""), self._tool.restore(text), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            text = str(outcomes[0])

    def _full(
        self, services: Services, node: NodeView, saved: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> Iterator[str]:
        """Inputs to iptables-restore, after which the kernel holds exactly `services`."""
        total = sum(len(s.endpoints.reachable) for s in in_order(services))
        self._comments = total <= layout.LARGE_CLUSTER_ENDPOINTS
        self._compiled, self._chains = {}, set()
        piece: dict[str, Sequence[str]] = {}
        for key in sorted(services):
            self._compiled[key] = [self._one(service, node) for service in services[key]]
            for one in self._compiled[key]:
                piece.update(one.chains)
            if len(piece) >= self._piece:
                if not self._chains:  # what every Service's chains jump to
                    marking = self._top_level(node)["nat"]["KUBE-MARK-MASQ"]
                    yield Restore(tables={"nat": {"KUBE-MARK-MASQ": marking}}).render()
                yield Restore(tables={"nat": piece}).render()
                self._chains |= piece.keys()
                piece = {}
        whole = not self._chains
        self._chains |= piece.keys()
        top = self._top_level(node)
        tables = {**top, "nat": {**piece, **top["nat"]}}
        for table in layout.CANARY_TABLES:
            tables[table] = {**tables.get(table, {}), layout.CANARY: []}
        own = [chain for chain in saved.get("nat", {}) if chain.startswith(layout.OWN_PREFIXES)]
        gone = [chain for chain in own if chain not in self._chains]
        jumps = missing_jumps(saved, layout.JUMPS)
        if whole and len(piece) + len(gone) <= self._piece:
            yield Restore(tables=tables, inserts=jumps, deletes={"nat": gone}).render()
        else:
            yield Restore(tables=tables, inserts=jumps).render()
            yield from _deletions(gone, self._piece)
        self._shared = {t: dict(chains) for t, chains in top.items()}

    def _top_level(self, node: NodeView) -> Tables:
        ordered = (one for key in sorted(self._compiled) for one in self._compiled[key])
        return layout.shared_chains(ordered, node)

    async def settle(self) -> None:
        """Nothing: the rules were compiled one by one."""

    async def update(self, services: Services, changes: Sequence[Change], node: NodeView) -> None:
        if len(self._compiled) > _INLINE:
            restore, top = await asyncio.to_thread(self._plan, changes, node)
        else:
            restore, top = self._plan(changes, node)
        if not restore.tables and not restore.deletes:
            return
        for text in pieces(restore, self._piece):
            await self._tool.restore(text)
        gone, nat = restore.deletes.get("nat", ()), restore.tables.get("nat", {})
        made = {chain for chain in nat if chain.startswith(layout.OWN_PREFIXES)}
        self._chains = (self._chains - set(gone)) | made
        self._shared = {**self._shared, **top}

    def _plan(self, changes: Sequence[Change], node: NodeView) -> tuple[Restore, Tables]:
        """What to restore for `changes`, and the shared chains as they are then."""
        before: dict[str, Sequence[str]] = {}
        after: dict[str, Sequence[str]] = {}
        for change in changes:
            for old in self._compiled.pop(change.key, ()):
                before.update(old.chains)
            if change.new:
                self._compiled[change.key] = [self._one(s, node) for s in change.new]
                for one in self._compiled[change.key]:
                    after.update(one.chains)
        nat = {chain: rules for chain, rules in after.items() if before.get(chain) != rules}
        top = self._top_level(node)
        tables = {
            table: {c: r for c, r in chains.items() if self._shared.get(table, {}).get(c) != r}
            for table, chains in top.items()
        }
        deletes = sorted(before.keys() & self._chains - after.keys())
        tables["nat"] = {**nat, **tables["nat"]}
        tables = {table: chains for table, chains in tables.items() if chains}
        return Restore(tables=tables, deletes={"nat": deletes} if deletes else {}), top

    def _one(self, service: Service, node: NodeView) -> layout.ServiceRules:
        return layout.compile_service(service, node, comments=self._comments)

    async def check(self, services: Services, node: NodeView) -> None:
        tables = layout.compile_iptables(in_order(services), node)
        await self._tool.restore(Restore(tables=tables).render(), test=True)

    async def is_intact(self) -> bool:
        """By kube-proxy's canaries, and by rules: `iptables -F` leaves chains standing."""
        canaries = [(table, layout.CANARY) for table in layout.CANARY_TABLES]
        return await self._tool.chains_exist(canaries) and await self._tool.rules_exist(ALWAYS)

    async def clean(self) -> None:
        if self._family == 4:
            await apply_sysctls(self._path, NO_ROUTE_LOCALNET)
        await clean_iptables(self._tool, layout.JUMPS, _OWN_CHAINS, layout.OWN_PREFIXES)
        self._compiled, self._chains, self._shared = {}, set(), {}

    async def maintain(self) -> None:
        """Nothing: chains out of use go with the sync that leaves them."""

    def close(self) -> None:
        """Nothing is kept open."""


ALWAYS = (("nat", "PREROUTING"), ("nat", "KUBE-SERVICES"), ("filter", "KUBE-FORWARD"))
"""Chains that are never empty while the rules, IPVS's too, are as they should be."""
_OWN_CHAINS = frozenset(
    {
        "KUBE-SERVICES",
        "KUBE-NODEPORTS",
        "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-PROXY-FIREWALL",
        "KUBE-FORWARD",
        "KUBE-FIREWALL",
        layout.CANARY,
    }
)


def is_own(chain: str) -> bool:
    """Whether iptables mode makes a chain of this name."""
    return chain in _OWN_CHAINS or chain.startswith(layout.OWN_PREFIXES)


async def clean_iptables(
    tool: IptablesTool, jumps: Sequence[Jump], chains: frozenset[str], prefixes: tuple[str, ...]
) -> None:
    """Remove the named chains and every jump to them from built-in chains."""
    saved = await tool.save()
    targets = {jump.target for jump in jumps}
    removed, deletes = [], {}
    for table, found in saved.items():
        for chain, rules in found.items():
            if chain.isupper() and "-" not in chain:
                removed += [(table, chain, r) for r in rules if jump_target(r) in targets]
        deletes[table] = [c for c in found if c in chains or (prefixes and c.startswith(prefixes))]
    deletes = {table: names for table, names in deletes.items() if names}
    if removed or deletes:
        await tool.restore(Restore(tables={}, remove_jumps=removed, deletes=deletes).render())
