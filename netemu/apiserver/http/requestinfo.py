"""What a path and a method ask for: verb, resource, namespace, name, subresource.

Pure. https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/request/requestinfo.go
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_WHOLE_URL = re.compile("https?://[^/?#]*", re.IGNORECASE).match
_TRUE = ("true", "1", "t", "T", "TRUE", "True", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """`plural` empty: not about a resource; `path` says what then."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource: the path that `proxy` passes on."""

    @property
    def is_resource(self) -> bool:
        return bool(self.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def is_true(query: Mapping[str, str], key: str) -> bool:
    """Whether a boolean query parameter is set, as Go's ParseBool reads it."""
    return key in query and query[key] in _TRUE


def origin_form(target: str) -> str:
    """A request's target as path and query; a proxy's clients send the whole URL.

    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
    """
    whole = None if target.startswith("/") else _WHOLE_URL(target)
    if whole is None:
        return target
    rest = target[whole.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def parse(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """`raw_path` as the request line has it, percent-encoded and without the query."""
    return _parsed(method, raw_path, is_true(query, "watch"))


@lru_cache(maxsize=1024)
def _parsed(method: str, raw_path: str, asks_to_watch: bool) -> RequestInfo:
    parts = [part for part in raw_path.split("/") if part]
    if "%" in raw_path:
        parts = [unquote(part) for part in parts]
    verb = _VERBS.get(method, method.lower())
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(verb=verb, path=unquote(raw_path))
    watch = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watch else rest
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    plural, *more = rest
    name = more[0] if more else ""
    if not name:
        verb = _collection_verb(method, verb, watch or asks_to_watch)
    elif watch:
        verb = "watch"
    elif method == "DELETE":
        verb = "delete"
    return RequestInfo(
        verb=verb,
        path=unquote(raw_path),
        group=group,
        version=version,
        plural=plural,
        namespace=namespace,
        name=name,
        subresource=more[1] if len(more) > 1 else "",
        rest=_after(raw_path, len(parts) - len(more) + 2) if len(more) > 1 else "",
    )


def _collection_verb(method: str, verb: str, watch: bool) -> str:
    if method in ("GET", "HEAD"):
        return "watch" if watch else "list"
    return "deletecollection" if method == "DELETE" else verb


def _after(raw_path: str, count: int) -> str:
    """The path after its first `count` segments, with its slashes and encoding."""
    rest = raw_path
    for _ in range(count):
        rest = rest.lstrip("/")
        _, slash, rest = rest.partition("/")
        rest = slash + rest
    return rest
