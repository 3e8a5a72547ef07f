"""Which objects a command line names: `pods`, `pod a b`, `deploy/web svc/web`, `pods,svc`, `all`.

kubectl's rules: the first word is a type (or several with commas) and the rest are names, or every
word is TYPE/NAME.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from netemu.api.resource import Object
from netemu.cli.discovery import Discovery, Served
from netemu.cli.failures import CommandFailed

if TYPE_CHECKING:
    from netemu.cli.api import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One object, or with an empty name all of a resource in the namespace (empty: everywhere)."""

    resource: Served
    namespace: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def collection(self) -> str:
        return self.resource.path(self.namespace)

    def __str__(self) -> str:
        return self.resource.named(self.name)


def parse(discovery: Discovery, words: Sequence[str], namespace: str) -> list[Target]:
    """The targets that `words` mean; usage errors are click's, unknown types CommandFailed."""
    if not words:
        raise click.UsageError(
            "You must specify the type of resource; `netemu api-resources` lists them."
        )
    if any("/" in word for word in words):
        return [_slashed(discovery, word, namespace) for word in words]
    resources = discovery.expand(words[0])
    names = list(dict.fromkeys(words[1:])) or [""]
    return [
        Target(resource=resource, namespace=_scope(resource, namespace), name=name)
        for resource in resources
        for name in names
    ]


def named(discovery: Discovery, words: Sequence[str], namespace: str) -> list[Target]:
    """As `parse`, and every target must have a name."""
    targets = parse(discovery, words, namespace)
    if any(not target.name for target in targets):
        raise click.UsageError("resource(s) were provided, but no name was specified")
    return targets


def one(discovery: Discovery, words: Sequence[str], namespace: str, *, default: str = "") -> Target:
    """Exactly one named object; a single bare word is a name of the type `default`."""
    if default and len(words) == 1 and "/" not in words[0]:
        words = [default, words[0]]
    targets = named(discovery, words, namespace)
    if len(targets) != 1:
        raise click.UsageError("expected exactly one object")
    return targets[0]


def objects(api: Api, target: Target, *, labels: str = "", fields: str = "") -> Iterator[Object]:
    """The objects that `target` means, each with its apiVersion and kind."""
    if target.name:
        yield typed(api.get(target.path), target.resource)
        return
    query = {"labelSelector": labels, "fieldSelector": fields}
    for item in api.get(target.collection, query).get("items") or ():
        yield typed(item, target.resource)


def of_object(resource: Served, obj: Object, default_namespace: str) -> Target:
    """The place of a manifest's object."""
    metadata = obj.get("metadata") or {}
    space = metadata.get("namespace") or default_namespace
    return Target(
        resource=resource,
        namespace=space if resource.namespaced else "",
        name=metadata.get("name", ""),
    )


def typed(obj: Object, resource: Served) -> Object:
    """Items of a list come without apiVersion and kind."""
    return {"apiVersion": resource.api_version, "kind": resource.kind} | obj


def _slashed(discovery: Discovery, word: str, namespace: str) -> Target:
    kind, slash, name = word.partition("/")
    if not slash:
        raise click.UsageError(
            "there is no need to specify a resource type as a separate argument when passing"
            f" arguments in resource/name form ({word!r} has no slash)"
        )
    if not kind or not name or "/" in name:
        raise CommandFailed(
            "arguments in resource/name form must have a single resource and name", exit_code=2
        )
    resource = discovery.find(kind)
    return Target(resource=resource, namespace=_scope(resource, namespace), name=name)


def _scope(resource: Served, namespace: str) -> str:
    return namespace if resource.namespaced else ""
