"""How the resolver inside a program walks the search list: glibc, musl and Go differ.

- glibc goes on after NODATA, and asks the bare name at one of both ends of the list (not at the
  end when the root is on the list).
- musl takes NXDOMAIN of either family for the whole name, stops at the first NODATA, never uses the
  list for a name with at least `ndots` dots, and hears no refusals: it waits on.
- Go goes on after everything but an address.

Each is a function over `ask`, which does the asking; nothing here knows of sockets.
resolv.conf(5); glibc resolv/res_query.c; musl src/network/lookup_name.c and res_msend.c; Go
src/net/dnsclient_unix.go
resolv.conf(5)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netemu.dns import wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A resolv.conf. `single_request`: A and AAAA one after the other."""

    nameservers: tuple[str, ...]
    searches: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    single_request: bool = False

    @classmethod
    def with_options(
        cls, nameservers: Sequence[str], searches: Sequence[str], options: Sequence[str]
    ) -> Resolver:
        """From the three kinds of lines of a resolv.conf."""
        values = {name: value for name, _, value in (option.partition(":") for option in options)}
        return cls(
            nameservers=tuple(nameservers),
            searches=tuple(searches),
            ndots=min(int(values.get("ndots", "1")), 15),
            timeout=min(float(values.get("timeout", "5")), 30.0),
            attempts=min(int(values.get("attempts", "2")), 5),
            single_request="single-request" in values or "single-request-reopen" in values,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One question's answer. `rcode` -1: no server answered in time."""

    qtype: int
    rcode: int
    server: str = ""
    seconds: float = 0.0
    addresses: tuple[str, ...] = ()
    """The answer's rdata of the type asked, as text."""
    aliases: tuple[str, ...] = ()
    truncated: bool = False

    @property
    def verdict(self) -> str:
        """What a stub resolver makes of it: found, NODATA, NXDOMAIN, SERVFAIL … or timeout."""
        if self.rcode < 0:
            return "timeout"
        if self.rcode != wire.NOERROR:
            return wire.rcode_name(self.rcode)
        return "found" if self.addresses else "NODATA"


@dataclass(frozen=True, slots=True)
class Step:
    """One name of the walk, all types."""

    name: str
    outcomes: tuple[Outcome, ...]
    why: str
    """Why the walk goes on or ends here."""


@dataclass(slots=True)
class Walk:
    """The whole look-up."""

    steps: list[Step] = field(default_factory=list)
    found: tuple[Outcome, ...] = ()
    error: str = ""

    @property
    def queries(self) -> int:
        return sum(len(step.outcomes) for step in self.steps)


Ask = Callable[[str, Sequence[int]], Sequence[Outcome]]
"""Asks all types of one absolute name, in the way and the order that the resolver has."""


def candidates(model: str, name: str, resolver: Resolver) -> list[str]:
    """The absolute names that would be asked if none existed, in order."""
    if name.endswith("."):
        return [name]
    bare = f"{name}."
    listed = [_joined(name, domain) for domain in resolver.searches]
    if model != "glibc":  # the root is nothing to append
        listed = [found for found in listed if found != bare]
    listed = [found for found in listed if len(found) <= 254]
    if name.count(".") >= resolver.ndots:
        return [bare] if model == "musl" else [bare, *listed]
    return listed if bare in listed else [*listed, bare]


def _joined(name: str, domain: str) -> str:
    return f"{name}." if domain in (".", "") else f"{name}.{domain.removesuffix('.')}."


def walk(model: str, name: str, qtypes: Sequence[int], resolver: Resolver, ask: Ask) -> Walk:
    """Resolve as `model` (glibc, musl, go) does."""
    done = Walk()
    judge = MODELS[model]
    for full in candidates(model, name, resolver):
        outcomes = tuple(ask(full, qtypes))
        verdicts = [outcome.verdict for outcome in outcomes]
        end, why = judge(verdicts)
        done.steps.append(Step(full, outcomes, why))
        if end:
            if end == "found":
                done.found = tuple(outcome for outcome in outcomes if outcome.addresses)
            else:
                done.error = end
            return done
    done.error = _error(model, done.steps, f"{name.removesuffix('.')}.")
    return done


def _glibc(verdicts: list[str]) -> tuple[str, str]:
    if "found" in verdicts:
        return "found", "has an address"
    if "timeout" in verdicts:
        return "EAI_AGAIN: no server answered", "no answer ends the search"
    if "NODATA" in verdicts:
        return "", "exists without such a record; glibc goes on"
    return "", f"{verdicts[0]}; next name"


def _musl(verdicts: list[str]) -> tuple[str, str]:
    for verdict in verdicts:  # the first that is no answer decides
        if verdict == "NXDOMAIN":
            if {"found", "NODATA"} & set(verdicts):
                return "", "NXDOMAIN for one family: musl takes the name for absent, drops the rest"
            return "", "NXDOMAIN; next name"
        if verdict in ("timeout", "SERVFAIL"):
            return "EAI_AGAIN: a server failed", "musl gives up on failures"
        if verdict not in ("found", "NODATA"):
            return "EAI_AGAIN: no answer", f"musl takes no notice of {verdict} and waits in vain"
    if "found" in verdicts:
        return "found", "has an address"
    return "EAI_NODATA: the name has no address", "NODATA ends musl's search"


def _go(verdicts: list[str]) -> tuple[str, str]:
    if "found" in verdicts:
        return "found", "has an address"
    return "", f"{'/'.join(dict.fromkeys(verdicts))}; Go tries the next name"


MODELS: dict[str, Callable[[list[str]], tuple[str, str]]] = {
    "glibc": _glibc,
    "musl": _musl,
    "go": _go,
}


def _error(model: str, steps: Sequence[Step], bare: str) -> str:
    """What the program hears when no name of the list had an address."""
    if model == "musl":
        return "EAI_NONAME: the name does not exist"
    if model == "go":
        return _go_error(steps, bare)
    seen = [outcome.verdict for step in steps for outcome in step.outcomes]
    if steps[0].name == bare:  # glibc keeps what the name as given led to
        seen = [outcome.verdict for outcome in steps[0].outcomes]
    if "NODATA" in seen:
        return "EAI_NODATA: a name exists, but has no address"
    if "SERVFAIL" in seen:
        return "EAI_AGAIN: a server failed"
    return "EAI_NONAME: the name does not exist"


def _go_error(steps: Sequence[Step], bare: str) -> str:
    """Go tells of the last name that it made with the list, of the bare one only if it is alone."""
    named = [step for step in steps if step.name != bare] or steps
    verdict = named[-1].outcomes[-1].verdict
    if verdict == "timeout":
        return "i/o timeout"
    return "no such host" if verdict in ("NXDOMAIN", "NODATA") else "server misbehaving"
