"""Reading settings field by field, collecting every problem with its place.

A `Section` is one map of the cluster file. Each field that is asked for counts as known; what is
left at the end is reported with the nearest known name. A field that an environment variable or a
flag has set is called by that name in problems.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


class Problems:
    """What is wrong so far; `origins` says which fields came from elsewhere than the file."""

    def __init__(self, source: str = "", origins: Mapping[str, str] | None = None) -> None:
        self.found: list[str] = []
        self._source = source
        self._origins = origins or {}

    def add(self, path: str, why: str) -> None:
        """`path` is `networking.podSubnet`, `nodes[1].name`."""
        origin = next((o for p, o in self._origins.items() if _below(path, p)), "")
        place = origin or (f"{self._source}: {path}" if self._source else path)
        self.found.append(f"{place}: {why}")


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))


class Section:
    """One map; every reader returns the default when the field is missing or wrong."""

    def __init__(self, raw: Any, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._known: list[str] = []
        self._raw: Mapping[str, Any] = {}
        if isinstance(raw, Mapping):
            self._raw = raw
        elif raw is not None:
            problems.add(path, f"must be a map, is {shown(raw)}")

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def problem(self, name: str, why: str) -> None:
        self.problems.add(self.at(name), why)

    def has(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def raw(self, name: str) -> Any:
        """The value as it stands; the field counts as known."""
        self._known.append(name)
        return self._raw.get(name)

    def section(self, name: str) -> Section:
        return Section(self.raw(name), self.at(name), self.problems)

    def sections(self, name: str) -> Iterator[Section]:
        """The maps of a list."""
        for index, item in enumerate(self._list(name)):
            yield Section(item, f"{self.at(name)}[{index}]", self.problems)

    def text(self, name: str, default: str = "") -> str:
        return self._read(name, default, "text", lambda v: v if isinstance(v, str) else None)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name, default)
        if value in choices or value == default:
            return value
        near = difflib.get_close_matches(value, choices, n=1)
        mean = f"; did you mean {near[0]}?" if near else ""
        self.problem(name, f'"{value}" is not one of {", ".join(choices)}{mean}')
        return default

    def label(self, name: str, default: str = "", *, longest: int = 63) -> str:
        """A single DNS label (RFC 1123)."""
        value = self.text(name, default)
        if value and (not _LABEL.fullmatch(value) or len(value) > longest):
            self.problem(
                name,
                f'"{value}" must be at most {longest} of a-z, 0-9 and -, with a letter or digit at'
                " both ends",
            )
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        return self._read(name, default, "true or false", _boolean)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self._read(name, default, "a whole number", _whole)
        if value == default or low <= value <= high:
            return value
        self.problem(name, f"{value} is not between {low} and {high}")
        return default

    def seconds(self, name: str, default: float) -> float:
        """A number of seconds, or a Go duration (`1m30s`, `200ms`)."""
        return self._read(name, default, "a duration such as 1.5s or 200ms", _seconds)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; one text alone stands for a list of one."""
        value = self.raw(name)
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(self._items(name, value, "text", lambda v: v if isinstance(v, str) else None))

    def words(self, name: str) -> tuple[str, ...]:
        """A command line as a list; numbers are taken as text."""
        value = self.raw(name)
        if isinstance(value, str):
            self.problem(name, f'must be a list of texts: ["sh", "-c", "{value}"]')
            return ()
        return tuple(self._items(name, value, "text", _word))

    def numbers(self, name: str, low: int, high: int) -> tuple[int, ...]:
        def number(value: Any) -> int | None:
            found = _whole(value)
            return found if found is not None and low <= found <= high else None

        what = f"a number between {low} and {high}"
        return tuple(self._items(name, self.raw(name), what, number))

    def pairs(self, name: str) -> dict[str, str]:
        """A map of text to text."""
        value = self.raw(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problem(name, f"must be a map, is {shown(value)}")
            return {}
        found = {}
        for key, item in value.items():
            word = _word(item)
            if word is None:
                self.problems.add(f"{self.at(name)}.{key}", f"must be text, is {shown(item)}")
            else:
                found[str(key)] = word
        return found

    def networks(self, name: str, default: tuple[str, ...], *, or_: str = "") -> tuple[str, ...]:
        """Networks, one after the other or with commas between them, or the one word `or_`."""
        found = self.texts(name)
        if or_ and list(found) == [or_]:
            return (or_,)
        good = [each for each in found if self._network(name, each)]
        return tuple(good) if good and len(good) == len(found) else default

    def network(self, name: str, default: str = "") -> str:
        value = self.text(name, default)
        return value if not value or self._network(name, value) else default

    def address(self, name: str) -> str:
        value = self.text(name)
        try:
            return str(ip_address(value)) if value else ""
        except ValueError:
            self.problem(name, f'"{value}" is not an IP address')
            return ""

    def end(self) -> None:
        """Report the fields that nobody asked for."""
        for name in self._raw:
            if name not in self._known:
                near = difflib.get_close_matches(str(name), self._known, n=1, cutoff=0.6)
                mean = f"; did you mean {near[0]}?" if near else ""
                self.problem(str(name), f"unknown field{mean}")

    def _network(self, name: str, text: str) -> bool:
        try:
            ip_network(text)
        except ValueError:
            self.problem(name, _not_a_network(text))
            return False
        return True

    def _read(self, name: str, default: T, what: str, convert: Callable[[Any], T | None]) -> T:
        value = self.raw(name)
        if value is None:
            return default
        converted = convert(value)
        if converted is None:
            self.problem(name, f"must be {what}, is {shown(value)}")
            return default
        return converted

    def _list(self, name: str) -> Sequence[Any]:
        value = self.raw(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.problem(name, f"must be a list, is {shown(value)}")
            return ()
        return value

    def _items(
        self, name: str, value: Any, what: str, convert: Callable[[Any], T | None]
    ) -> Iterator[T]:
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.problem(name, f"must be a list, is {shown(value)}")
            return
        for index, item in enumerate(value):
            converted = convert(item)
            if converted is None:
                where = f"{self.at(name)}[{index}]"
                self.problems.add(where, f"must be {what}, is {shown(item)}")
            else:
                yield converted


def shown(value: Any) -> str:
    """A wrong value in a message, cut when it is long."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _not_a_network(text: str) -> str:
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        return f'"{text}" is not a network (write it as 10.244.0.0/16)'
    return f'"{text}" has host bits set; did you mean {whole}?'


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.lower()
        )
    return value if isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value < float("inf") else None
    if not isinstance(value, str):
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _word(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None
