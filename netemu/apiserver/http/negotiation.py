"""What a client wants back: the object itself, a Table, or its metadata only.

https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from netemu.errors import ApiError

JSON = "application/json"
_ANY = ("*/*", "application/*", "")
_META_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`shape` is `object`, `table` or `partial`; `version` that of meta.k8s.io."""

    shape: str = "object"
    version: str = "v1"


OBJECT = Form()


@lru_cache(maxsize=256)
def accepted(accept: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """The media types of an Accept header with their parameters, the preferred ones first."""
    found = []
    for position, part in enumerate(accept.split(",")):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = dict(item.split("=", 1) for item in parameters if "=" in item)
        try:
            quality = float(pairs.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((-quality, position, media.lower(), pairs))
    return tuple((media, pairs) for _, _, media, pairs in sorted(found, key=lambda item: item[:2]))


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The first form of the Accept header that can be served; ApiError NotAcceptable if none."""
    if not accept:
        return OBJECT
    for media, parameters in accepted(accept):
        if media not in (JSON, *_ANY):
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return OBJECT
        if parameters.get("g") != "meta.k8s.io" or parameters.get("v") not in _META_VERSIONS:
            continue
        if wanted == "Table":
            return Form(shape="table", version=parameters["v"])
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form(shape="partial", version=parameters["v"])
    raise ApiError(
        "NotAcceptable",
        "only the following media types are accepted: application/json, "
        "application/json;as=Table;g=meta.k8s.io;v=v1, "
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    )
