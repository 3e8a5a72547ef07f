"""Label and field selectors, from text and from LabelSelector objects.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netemu.api import names
from netemu.errors import ApiError

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: `in`, `notin`, `exists`, `!`, `gt`, `lt` on the label `key`."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return value is not None and _compare(value, self.operator, next(iter(self.values)))

    def __str__(self) -> str:
        first = next(iter(self.values), "")
        match self.operator:
            case "in" if len(self.values) == 1:
                return f"{self.key}={first}"
            case "notin" if len(self.values) == 1:
                return f"{self.key}!={first}"
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{first}"
        return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"


def _compare(value: str, operator: str, bound: str) -> bool:
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "gt" else left < right


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any, everything matches, unless `nothing`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        found = labels or {}
        for requirement in self.requirements:  # noqa: SIM110 — `all` takes twice as long
            if not requirement.matches(found):
                return False
        return True

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k`. ApiError BadRequest when it cannot be read."""
    tokens = _tokens(text)
    requirements = []
    position = 0
    while position < len(tokens):
        requirement, position = _requirement(text, tokens, position)
        requirements.append(requirement)
        if position < len(tokens):
            if tokens[position] != ",":
                raise _unreadable(
                    text, f"found '{tokens[position]}', expected: ',' or 'end of string'"
                )
            position += 1
            if position == len(tokens):
                raise _unreadable(text, "found '', expected: identifier after ','")
    return LabelSelector(tuple(requirements))


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if found is None:  # pragma: no cover - the pattern takes any character
            raise _unreadable(text, "unknown character")
        tokens.append(found[1])
        position = found.end()
    return tokens


def _requirement(text: str, tokens: list[str], position: int) -> tuple[Requirement, int]:
    if tokens[position] == "!":
        key = _key(text, tokens, position + 1)
        return Requirement(key, "!"), position + 2
    key = _key(text, tokens, position)
    operator = tokens[position + 1] if position + 1 < len(tokens) else ","
    if operator == ",":
        return Requirement(key, "exists"), position + 1
    if operator in ("=", "==", "!="):
        value, after = _value(tokens, position + 2)
        named = "notin" if operator == "!=" else "in"
        return _checked(text, Requirement(key, named, frozenset((value,)))), after
    if operator in ("in", "notin"):
        values, after = _values(text, tokens, position + 2)
        return _checked(text, Requirement(key, operator, values)), after
    if operator in ("<", ">"):
        value, after = _value(tokens, position + 2)
        if not re.fullmatch(r"[+-]?\d+", value):
            raise _unreadable(text, "for 'Gt', 'Lt' operators, the value must be an integer")
        named = "gt" if operator == ">" else "lt"
        return Requirement(key, named, frozenset((value,))), after
    raise _unreadable(text, f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _key(text: str, tokens: list[str], position: int) -> str:
    key = tokens[position] if position < len(tokens) else ""
    wrong = names.qualified_name(key)
    if wrong:
        raise _unreadable(text, f'key: Invalid value: "{key}": {"; ".join(wrong)}')
    return key


def _value(tokens: list[str], position: int) -> tuple[str, int]:
    if position < len(tokens) and tokens[position] != ",":
        return tokens[position], position + 1
    return "", position


def _values(text: str, tokens: list[str], position: int) -> tuple[frozenset[str], int]:
    if position >= len(tokens) or tokens[position] != "(":
        found = tokens[position] if position < len(tokens) else ""
        raise _unreadable(text, f"found '{found}', expected: '('")
    values: set[str] = set()
    expect_value = True
    for after in range(position + 1, len(tokens)):
        token = tokens[after]
        if token == ")":
            return frozenset(values | ({""} if expect_value else set())), after + 1
        if token == ",":
            values |= {""} if expect_value else set()
            expect_value = True
        elif expect_value:
            values.add(token)
            expect_value = False
        else:
            raise _unreadable(text, f"found '{token}', expected: ',' or ')'")
    raise _unreadable(text, "found '', expected: ',' or ')'")


def _checked(text: str, requirement: Requirement) -> Requirement:
    for value in requirement.values:
        wrong = names.label_value(value)
        if wrong:
            raise _unreadable(
                text, f'values[0][{requirement.key}]: Invalid value: "{value}": {"; ".join(wrong)}'
            )
    return requirement


def _unreadable(text: str, why: str) -> ApiError:
    return ApiError("BadRequest", f'unable to parse requirement: {why} (in "{text}")')


def from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """A Service's or ReplicationController's selector: plain equality."""
    pairs = sorted((labels or {}).items())
    return LabelSelector(tuple(Requirement(key, "in", frozenset((value,))) for key, value in pairs))


def from_label_selector(obj: Mapping[str, Any] | None) -> LabelSelector:
    """From a metav1.LabelSelector. None selects nothing, `{}` everything."""
    if obj is None:
        return NOTHING
    requirements = list(from_map(obj.get("matchLabels")).requirements)
    for expression in obj.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            message = f'"{expression.get("operator")}" is not a valid label selector operator'
            raise ApiError("BadRequest", message)
        values = frozenset(expression.get("values") or ())
        requirements.append(Requirement(expression["key"], operator, values))
    return LabelSelector(tuple(requirements))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """(field, equal?, value) conditions, all of which must hold."""

    conditions: tuple[tuple[str, bool, str], ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        return all(
            (values.get(field, "") == value) is equal for field, equal, value in self.conditions
        )

    @property
    def empty(self) -> bool:
        return not self.conditions

    @property
    def fields(self) -> frozenset[str]:
        """The fields it asks about; the server refuses those that the kind does not have."""
        return frozenset(field for field, _, _ in self.conditions)

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, if the selector says so: an index may serve it."""
        for named, equal, value in self.conditions:
            if named == field and equal:
                return value
        return None


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """`a=b,c!=d,e==f`, with `\\\\`, `\\,` and `\\=` escaped. ApiError BadRequest otherwise."""
    conditions = []
    for term in _split_terms(text):
        found = re.fullmatch(r"((?:[^=!\\]|\\.)*?)(!=|==|=)(.*)", term, re.DOTALL)
        if found is None:
            raise ApiError("BadRequest", f"invalid selector: '{text}'; can't understand '{term}'")
        value = re.sub(r"\\([\\,=])", r"\1", found[3])
        conditions.append((found[1].strip(), found[2] != "!=", value))
    return FieldSelector(tuple(dict.fromkeys(conditions)))


def _split_terms(text: str) -> list[str]:
    terms = re.findall(r"(?:[^,\\]|\\.)+", text, re.DOTALL)
    return [term for term in terms if term.strip()]
