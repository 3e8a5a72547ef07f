"""Client-side apply: what the last apply said, what the manifest says, what the server has.

Fields that the last manifest had and this one lacks are removed; fields that neither has (defaults,
a controller's, another client's) stay. Lists whose elements have a key are merged element by
element, as the API's strategic merge patch does.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#how-apply-calculates-differences-and-merges-changes
"""

from __future__ import annotations

import json
from typing import Any

from netemu.api.resource import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""`patchMergeKey` of the API's lists by field name; `ports` depends on what the elements are."""

SETS = ("finalizers",)


def with_last_applied(obj: Object) -> Object:
    """`obj` with the annotation that remembers it."""
    metadata = obj.get("metadata") or {}
    kept = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    bare = {**obj, "metadata": {**metadata, "annotations": kept}}
    annotations = {**kept, LAST_APPLIED: _encoded(bare)}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def last_applied(live: Object) -> Object | None:
    """What the last apply wrote; None when there was none, or it cannot be read."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def merge(last: Any, live: Any, wanted: Any, *, field: str = "") -> Any:
    """`live` as it should be."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return _merge_maps(last if isinstance(last, dict) else {}, live, wanted)
    if isinstance(wanted, list) and isinstance(live, list):
        before = last if isinstance(last, list) else []
        if field in SETS:
            return [x for x in live if x in wanted or x not in before] + [
                x for x in wanted if x not in live
            ]
        key = merge_key(field, [*wanted, *live])
        return _merge_lists(before, live, wanted, key) if key else wanted
    return wanted


def merge_key(field: str, elements: list[Any]) -> str:
    """The key of a list's elements; empty when the list is replaced as a whole."""
    key = MERGE_KEYS.get(field, "")
    if field == "ports":
        named = ("containerPort", "port")
        key = next((k for k in named if all(isinstance(e, dict) and k in e for e in elements)), "")
    values = [element.get(key) for element in elements if isinstance(element, dict)]
    complete = len(values) == len(elements) and None not in values
    return key if key and complete else ""


def difference(live: Any, result: Any) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `result` of `live`; empty when they are equal."""
    patch: dict[str, Any] = {key: None for key in live if key not in result}
    for key, value in result.items():
        if key not in live:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(live[key], dict):
            inner = difference(live[key], value)
            if inner:
                patch[key] = inner
        elif value != live[key] or type(value) is not type(live[key]):
            patch[key] = value
    return patch


def _merge_maps(last: Any, live: Any, wanted: Any) -> dict[str, Any]:
    result = dict(live)
    for key, value in wanted.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(last.get(key), live.get(key), value, field=key)
    for key in last:
        if key not in wanted:
            result.pop(key, None)
    return result


def _merge_lists(last: list[Any], live: list[Any], wanted: list[Any], key: str) -> list[Any]:
    """The server's order is kept where it agrees with the manifest's."""
    before = {_at(element, key): element for element in last}
    now = {_identity(element, key): element for element in live}
    after = {_identity(element, key): element for element in wanted}
    if len(now) < len(live) or len(after) < len(wanted):
        return wanted
    merged = {
        identity: merge(before.get(_at(element, key)), now.get(identity), element)
        for identity, element in after.items()
    }
    others = [i for i in now if i not in after and i[0] not in before]
    order = [i for i in now if i in after or i in others]
    order += [i for i in after if i not in now]
    if [i for i in order if i in after] != list(after):
        order = [*after, *others]
    return [merged[i] if i in merged else now[i] for i in order]


def _at(element: Any, key: str) -> Any:
    return element.get(key) if isinstance(element, dict) else None


def _identity(element: dict[str, Any], key: str) -> tuple[Any, str]:
    """A port number may stand twice, once a protocol."""
    return element[key], element.get("protocol", "TCP") if key in ("port", "containerPort") else ""


def _encoded(obj: Object) -> str:
    text = json.dumps(obj, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for char, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(char, escape)
    return text + "\n"
