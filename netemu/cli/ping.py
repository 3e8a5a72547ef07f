"""`netemu ping A B`: the first packet's time, the others', and loss."""

from __future__ import annotations

import os
import time
from statistics import fmean

import click

from netemu.cli.failures import RootNeeded
from netemu.cli.peers import find_peer
from netemu.cli.prober import Echo, Peer, Prober
from netemu.cli.session import ObjectCommand, Session, pass_session


@click.command(cls=ObjectCommand)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "-c", "--count", type=click.IntRange(1), default=4, show_default=True, help="How many packets."
)
@click.option(
    "-i", "--interval", type=float, default=0.2, show_default=True, help="Seconds between them."
)
@click.option(
    "-W",
    "--timeout",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "-s",
    "--size",
    type=click.IntRange(0, 65507),
    default=56,
    show_default=True,
    help="Bytes of payload.",
)
@click.option("-M", "--dont-fragment", is_flag=True, help="Fail when the packet does not fit.")
@pass_session
def ping(
    session: Session,
    /,
    source: str,
    target: str,
    count: int,
    interval: float,
    timeout: float,
    size: int,
    dont_fragment: bool,
) -> int:
    """Ping from a pod, node or host to another one, or to an address.

    FROM and TO are POD, NAMESPACE/POD, node/NAME, host/NAME or a workload (deploy/web). Exit code
    1 when a packet is lost.
    """
    if os.geteuid() != 0:
        raise RootNeeded("ping from another network")
    here, there = find_peer(session, source), find_peer(session, target)
    if not here.netns:
        raise click.UsageError("FROM must be a pod, a node or a host, not an address")
    print(
        f"PING {there.label} ({there.address}) from {here.label} ({here.address}):"
        f" {size} data bytes"
    )
    with Prober(timeout=timeout, size=size, dont_fragment=dont_fragment) as prober:
        echoes = list(_series(prober, here, there, count, interval, size))
    return _summary(here, there, echoes)


def _series(
    prober: Prober, here: Peer, there: Peer, count: int, interval: float, size: int
) -> list[Echo]:
    echoes = []
    for number in range(1, count + 1):
        started = time.monotonic()
        (echo,) = prober.ping([(here, there)])
        echoes.append(echo)
        if echo.received:
            ttl = f" ttl={echo.ttl}" if echo.ttl else ""
            print(
                f"{size + 8} bytes from {there.address}: icmp_seq={number}{ttl}"
                f" time={echo.ms:.3f} ms",
                flush=True,
            )
        else:
            print(f"{there.address}: icmp_seq={number} {echo.error}", flush=True)
        if number < count:
            time.sleep(max(started + interval - time.monotonic(), 0))
    return echoes


def _summary(here: Peer, there: Peer, echoes: list[Echo]) -> int:
    times = [echo.ms for echo in echoes if echo.ms is not None]
    lost = len(echoes) - len(times)
    print(f"--- {here.label} -> {there.label} ---")
    print(
        f"{len(echoes)} packets transmitted, {len(times)} received,"
        f" {lost / len(echoes):.0%} packet loss"
    )
    if echoes[0].ms is not None:
        rest = times[1:]
        text = f"first packet {echoes[0].ms:.3f} ms"
        if rest:
            text += f", then min/avg/max {min(rest):.3f}/{fmean(rest):.3f}/{max(rest):.3f} ms"
        print(text)
    return 1 if lost else 0
