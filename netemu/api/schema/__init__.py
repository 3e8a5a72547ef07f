"""The shape of objects: what fields there are, of which types, and how lists and maps merge.

Built-in kinds take it from the Kubernetes OpenAPI definitions (`data/`), custom resources from
their CustomResourceDefinition. One tree of `Node`s serves the checks, strategic merge patches and
server-side apply.
"""

from netemu.api.schema.check import (
    Checked,
    check,
    problems,
    prune,
    strict_decoding,
    undecodable,
)
from netemu.api.schema.definitions import of_kind
from netemu.api.schema.node import Node, compile_schema

__all__ = [
    "Checked",
    "Node",
    "check",
    "compile_schema",
    "of_kind",
    "problems",
    "prune",
    "strict_decoding",
    "undecodable",
]
