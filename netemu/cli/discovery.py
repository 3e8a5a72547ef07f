"""Which kinds the API serves, and what people call them: `po`, `deploy`, `deployments.apps`, `all`.

Asked of the server each time (two requests over a local socket, no cache to go stale), so kinds
that a CustomResourceDefinition made are there as well.
https://kubernetes.io/docs/reference/using-api/api-concepts/#aggregated-discovery
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netemu.api.resource import Resource
from netemu.cli.api import Api
from netemu.cli.failures import CommandFailed
from netemu.cli.nearest import nearest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Resource):
    """A resource as the server announces it."""

    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """`deployments.apps`, `pods`: how messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def named(self, name: str) -> str:
        """`deployment.apps/web`, `pod/web-0`: how kubectl reports on one object."""
        return f"{self.label}/{name}"

    @property
    def label(self) -> str:
        return f"{self.kind.lower()}.{self.group}" if self.group else self.kind.lower()

    def answers_to(self, word: str) -> bool:
        """Whether people may call it `word` (lower case): plural, singular, short or kind."""
        return word in (self.plural, self.singular, self.kind.lower(), *self.short_names)


class Discovery:
    """The server's resources, in its own order of preference."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @cached_property
    def resources(self) -> tuple[Served, ...]:
        found: list[Served] = []
        for path in ("/api", "/apis"):
            document = self._api.get(path, accept=AGGREGATED)
            for group in document.get("items") or ():
                found += _group(group)
        return tuple(found)

    def forget(self) -> None:
        """Ask again next time: a CustomResourceDefinition was created."""
        self.__dict__.pop("resources", None)

    def find(self, word: str) -> Served:
        """The resource called `word`: `po`, `Pod`, `deployments.apps`, `deployments.v1.apps`."""
        for resource in self._matches(word):
            return resource
        raise self.unknown(word)

    def expand(self, words: str) -> list[Served]:
        """The resources of a comma separated list in which categories may stand (`all,ep`)."""
        found: list[Served] = []
        for word in words.split(","):
            category = [r for r in self.preferred() if word.lower() in r.categories]
            found += category or [self.find(word)]
        return list(dict.fromkeys(found))

    def is_category(self, word: str) -> bool:
        return any(word.lower() in resource.categories for resource in self.resources)

    def by_kind(self, api_version: str, kind: str) -> Served | None:
        for resource in self.resources:
            if (resource.api_version, resource.kind) == (api_version, kind):
                return resource
        return None

    def kinds(self) -> list[str]:
        return sorted({resource.kind for resource in self.resources})

    def unknown(self, word: str) -> CommandFailed:
        names = {name for r in self.resources for name in (r.plural, r.singular, *r.short_names)}
        near = nearest(word.lower(), sorted(names), cutoff=0.7)
        return CommandFailed(
            f'the server doesn\'t have a resource type "{word}"'
            + (f'; did you mean "{near}"?' if near else ""),
            hint="netemu api-resources",
        )

    def _matches(self, word: str) -> Iterator[Served]:
        name, _, qualifier = word.lower().partition(".")
        for resource in self.resources:
            if resource.answers_to(name) and _qualifies(resource, qualifier):
                yield resource

    def preferred(self) -> Iterator[Served]:
        """Each (group, plural) once, in its first version."""
        seen: set[tuple[str, str]] = set()
        for resource in self.resources:
            if (resource.group, resource.plural) not in seen:
                seen.add((resource.group, resource.plural))
                yield resource


def _qualifies(resource: Served, qualifier: str) -> bool:
    """`apps`, `v1.apps` or nothing; a group may be cut short as kubectl allows (`discovery`)."""
    if not qualifier:
        return True
    full = f"{resource.version}.{resource.group}"
    return (
        qualifier in (resource.group, full, resource.version)
        or bool(resource.group)
        and resource.group.startswith(qualifier + ".")
    )


def _group(document: dict[str, Any]) -> Iterator[Served]:
    group = (document.get("metadata") or {}).get("name", "")
    for version in document.get("versions") or ():
        for resource in version.get("resources") or ():
            yield _served(group, version["version"], resource)


def _served(group: str, version: str, resource: dict[str, Any]) -> Served:
    kind = resource.get("responseKind") or {}
    return Served(
        group=group,
        version=version,
        plural=resource["resource"],
        kind=kind.get("kind", ""),
        namespaced=resource.get("scope") == "Namespaced",
        singular=resource.get("singularResource") or "",
        short_names=_strings(resource.get("shortNames")),
        categories=_strings(resource.get("categories")),
        verbs=_strings(resource.get("verbs")),
        subresources=_strings(s.get("subresource") for s in resource.get("subresources") or ()),
    )


def _strings(values: Iterable[Any] | None) -> tuple[str, ...]:
    return tuple(str(value) for value in values or ())
