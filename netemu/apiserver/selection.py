"""From a request's namespace and selector texts to a `Selection`; unknown fields are refused."""

from __future__ import annotations

from netemu.api.kind import Kind
from netemu.api.selectors import parse_fields, parse_labels
from netemu.apiserver.watcher import Selection
from netemu.errors import ApiError

_EVERYWHERE = frozenset(("metadata.name", "metadata.namespace"))


def select(kind: Kind, namespace: str, labels: str, fields: str) -> Selection:
    """ApiError BadRequest for selectors that cannot be read, or fields the kind does not have."""
    chosen = parse_fields(fields)
    for field in chosen.fields - _EVERYWHERE:
        if field not in kind.fields({}):
            raise ApiError(
                "BadRequest",
                f'Unable to find "{kind.api_version}, Resource={kind.plural}" that match label '
                f'selector "{labels}", field selector "{fields}": field label not supported: '
                f"{field}",
            )
    return Selection(kind, namespace if kind.namespaced else "", parse_labels(labels), chosen)
