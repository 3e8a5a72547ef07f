"""`netemu pingall`: every pod, node and outside host to every other one, all at once.

An outside host has no route to the pods' network, as in a cluster, so it is not asked to reach
pods; pods and nodes are asked to reach it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from statistics import quantiles
from typing import Any

import click

from netemu.cli import options
from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.cli.matrix import WIDEST, Cell, matrix
from netemu.cli.neighbours import Forgetful, are_many
from netemu.cli.peers import all_peers
from netemu.cli.prober import Echo, Pair, Peer, Prober
from netemu.cli.session import ObjectCommand, Session, pass_session


@click.command(cls=ObjectCommand)
@click.option("-l", "--selector", "labels", default="", help="Only pods with these labels.")
@options.output_of("wide", "json", what="wide: times in milliseconds; json: every pair.")
@click.option(
    "-W",
    "--timeout",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option("--pods-only", is_flag=True, help="Leave nodes and hosts out.")
@pass_session
def pingall(session: Session, /, labels: str, form: str, timeout: float, pods_only: bool) -> int:
    """Ping all pairs; exit code 1 when a packet is dropped. -n takes one namespace's pods."""
    if os.geteuid() != 0:
        raise RootNeeded("ping from other networks")
    inside, hosts = all_peers(session, session.namespace_flag, labels)
    if pods_only:
        inside = [peer for peer in inside if not _on_underlay(peer)]
        hosts = []
    if len(inside) + len(hosts) < 2:
        raise CommandFailed(
            "less than two pods, nodes and hosts: nobody to ping", hint="netemu get pods -A -o wide"
        )
    started = time.monotonic()
    echoes = _ping(list(pairs(inside, hosts)), timeout)
    _print(form, [*inside, *hosts], echoes, time.monotonic() - started)
    return 0 if all(echo.received for echo in echoes) else 1


def _ping(chosen: Sequence[Pair], timeout: float) -> list[Echo]:
    """All of them; many pods of one node must not fill the kernel's table of neighbours."""
    with Prober(timeout=timeout) as prober, Forgetful() as neighbours:
        many = are_many(chosen)
        echoes = []
        for echo in prober.ping(chosen):
            echoes.append(echo)
            if many:
                neighbours.forget((echo.source, echo.target))
        return echoes


def pairs(inside: Sequence[Peer], hosts: Sequence[Peer]) -> Iterator[Pair]:
    """All ordered pairs but host to pod. Each round has every source once, which spreads load."""
    everyone = [*inside, *hosts]
    for step in range(1, len(everyone)):
        for index, source in enumerate(everyone):
            target = everyone[(index + step) % len(everyone)]
            if not (source in hosts and not _on_underlay(target)):
                yield source, target


def _on_underlay(peer: Peer) -> bool:
    return peer.label.startswith(("node/", "host/"))


def _print(form: str, peers: Sequence[Peer], echoes: Sequence[Echo], seconds: float) -> None:
    if form == "json":
        print(json.dumps(report(echoes, seconds), indent=2))
        return
    if len(peers) <= WIDEST:
        print(*matrix([peer.label for peer in peers], _cell(echoes, form)), sep="\n")
    for echo in echoes:
        if not echo.received:
            print(
                f"{echo.source.label} -> {echo.target.label} ({echo.target.address}): {echo.error}"
            )
    received = sum(echo.received for echo in echoes)
    dropped = len(echoes) - received
    print(
        f"{_percent(dropped, len(echoes))}% dropped ({received}/{len(echoes)} received)"
        f" in {seconds:.2f} s{_times(echoes)}"
    )


def _cell(echoes: Sequence[Echo], form: str) -> Cell:
    """`ok` or the time in milliseconds, `X` for a dropped packet."""
    found = {(echo.source.label, echo.target.label): echo for echo in echoes}

    def cell(source: str, target: str) -> str:
        echo = found.get((source, target))
        if echo is None:
            return "-" if source == target else ""
        if echo.ms is None:
            return "X"
        return f"{echo.ms:.2f}" if form == "wide" else "ok"

    return cell


def _times(echoes: Sequence[Echo]) -> str:
    times = sorted(echo.ms for echo in echoes if echo.ms is not None)
    if not times:
        return ""
    high = quantiles(times, n=100)[98] if len(times) > 1 else times[0]
    return f"; first packet median {times[len(times) // 2]:.2f} ms, p99 {high:.2f} ms"


def _percent(part: int, whole: int) -> str:
    """Whole numbers, but never 0 when something was dropped."""
    value = 100 * part / whole
    return f"{value:.0f}" if value in (0, 100) or value >= 1 else "<1"


def report(echoes: Sequence[Echo], seconds: float) -> dict[str, Any]:
    """The result as JSON: counts, and every pair with its time in milliseconds."""
    received = sum(echo.received for echo in echoes)
    return {
        "sent": len(echoes),
        "received": received,
        "dropped": len(echoes) - received,
        "seconds": round(seconds, 3),
        "pairs": [
            {
                "from": echo.source.label,
                "to": echo.target.label,
                "address": echo.target.address,
                "ms": None if echo.ms is None else round(echo.ms, 3),
                "error": echo.error,
            }
            for echo in echoes
        ],
    }
