"""Selectors of workloads, parsed once. Pure.

A controller asks the same selector about a thousand pods, again and again; a parsed one is kept
with the selector object it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from netemu.api.kind import Object
from netemu.api.meta import labels
from netemu.api.selectors import LabelSelector, from_label_selector

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@lru_cache(maxsize=4096)
def _parsed(encoded: bytes) -> LabelSelector:
    return from_label_selector(_decode(encoded))


def label_selector(owner: Object) -> LabelSelector:
    """The parsed spec.selector of a workload: a LabelSelector, or a plain map of labels."""
    return parsed((owner.get("spec") or {}).get("selector"))


def parsed(selector: Object | None) -> LabelSelector:
    """A parsed LabelSelector object, or a plain map of labels (Service, ReplicationController)."""
    selector = selector or {}
    if any(isinstance(value, str) for value in selector.values()):
        selector = {"matchLabels": selector}
    return _parsed(_encode(selector))


def is_empty(owner: Object) -> bool:
    """A workload without a selector selects nothing, although an empty LabelSelector is all."""
    return not (owner.get("spec") or {}).get("selector")


def selects(owner: Object, child: Object) -> bool:
    """Whether the owner's selector matches the child's labels; an empty one matches nothing."""
    return not is_empty(owner) and label_selector(owner).matches(labels(child))


def matcher(owner: Object) -> Callable[[Object], bool]:
    """`selects(owner, …)` for many children."""
    if is_empty(owner):
        return lambda child: False
    found = label_selector(owner)
    return lambda child: found.matches(labels(child))
