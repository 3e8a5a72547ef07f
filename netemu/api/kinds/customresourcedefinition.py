"""CustomResourceDefinition. What kinds it makes is `api/crd/`.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from typing import Any

from netemu.api import jsonpath, meta, names
from netemu.api.cells import CREATED, NAME
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Kind, Object
from netemu.api.objectrules import IMMUTABLE

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    given = spec.setdefault("names", {})
    if given.get("kind"):
        given.setdefault("singular", given["kind"].lower())
        given.setdefault("listKind", f"{given['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


def _prepare(obj: Object, old: Object | None) -> None:
    """Names are accepted at once: whether they clash was checked on the way in."""
    spec = obj["spec"]
    status = dict((old or {}).get("status") or {})
    status["acceptedNames"] = spec.get("names") or {}
    stored = list(status.get("storedVersions") or ())
    for version in spec.get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version.get("name"))
    status["storedVersions"] = stored
    status.setdefault("conditions", _conditions(obj))
    obj["status"] = status


def _conditions(obj: Object) -> list[dict[str, str]]:
    now = meta.metadata(obj).get("creationTimestamp") or ""
    return [
        {
            "type": kind,
            "status": "True",
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    group, given = spec.get("group") or "", spec.get("names") or {}
    causes: list[Cause] = []
    if not group:
        causes.append(required("spec.group"))
    else:
        causes += [invalid("spec.group", group, why) for why in names.dns1123_subdomain(group)]
        if "." not in group:
            message = "should be a domain with at least one dot"
            causes.append(invalid("spec.group", group, message))
    expected = f"{given.get('plural')}.{group}"
    if meta.name(obj) != expected:
        message = 'must be spec.names.plural+"."+spec.group'
        causes.append(invalid("metadata.name", meta.name(obj), message))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        known = ("Cluster", "Namespaced")
        causes.append(not_supported("spec.scope", spec.get("scope") or "", known))
    causes += _check_names(given)
    causes += _check_versions(spec.get("versions") or [])
    strategy = (spec.get("conversion") or {}).get("strategy") or ""
    if strategy not in ("None", "Webhook"):
        known = ("None", "Webhook")
        causes.append(not_supported("spec.conversion.strategy", strategy, known))
    before = (old or {}).get("spec") or {}
    if old is not None and spec.get("scope") != before.get("scope"):
        causes.append(invalid("spec.scope", spec.get("scope"), IMMUTABLE))
    if old is not None and given.get("plural") != (before.get("names") or {}).get("plural"):
        causes.append(invalid("spec.names.plural", given.get("plural"), IMMUTABLE))
    return causes


def _check_names(given: Object) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("plural", "singular", "kind", "listKind"):
        value, where = given.get(key) or "", f"spec.names.{key}"
        if not value:
            causes.append(required(where))
        else:
            mixed = "may have mixed case, but should otherwise match: " if "ind" in key else ""
            wrong = names.dns1035_label(value.lower() if mixed else value)
            causes += [invalid(where, value, mixed + why) for why in wrong]
    for key in ("shortNames", "categories"):
        for index, value in enumerate(given.get(key) or ()):
            wrong = names.dns1035_label(value)
            causes += [invalid(f"spec.names.{key}[{index}]", value, why) for why in wrong]
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        message = "kind and listKind may not be the same"
        causes.append(invalid("spec.names.listKind", given["listKind"], message))
    return causes


def _check_versions(versions: list[Any]) -> list[Cause]:
    causes: list[Cause] = []
    if not versions:
        return [required("spec.versions", "must have at least one version")]
    named = [version.get("name") or "" for version in versions]
    if len(set(named)) != len(named):
        message = "must contain unique version names"
        causes.append(invalid("spec.versions", named, message))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        message = "must have exactly one version marked as storage version"
        causes.append(invalid("spec.versions", named, message))
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}]"
        name = version.get("name") or ""
        causes += [invalid(f"{where}.name", name, why) for why in names.dns1035_label(name)]
        causes += _check_schema(version.get("schema"), f"{where}.schema")
        causes += _check_parts(version, where)
    return causes


def _check_schema(schema: Object | None, path: str) -> list[Cause]:
    root = (schema or {}).get("openAPIV3Schema")
    path = f"{path}.openAPIV3Schema"
    if root is None:
        return [required(path, "schemas are required")]
    if root.get("type") != "object":
        if not root.get("type"):
            at_root = required(f"{path}.type", "must not be empty at the root")
            return [at_root, *_check_structural({**root, "type": "object"}, path)]
        return [invalid(f"{path}.type", root["type"], "must be object at the root")]
    return list(_check_structural(root, path))


def _check_structural(schema: Object, path: str) -> list[Cause]:
    """Each part says its type, so that pruning and defaults know what to do."""
    causes: list[Cause] = []
    open_type = schema.get("x-kubernetes-int-or-string") or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if not schema.get("type") and not open_type:
        causes.append(required(f"{path}.type", "must not be empty for specified object fields"))
    if schema.get("$ref"):
        causes.append(invalid(f"{path}.$ref", schema["$ref"], "is not supported"))
    for name, inner in (schema.get("properties") or {}).items():
        causes += _check_structural(inner, f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            causes += _check_structural(schema[key], f"{path}.{key}")
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        causes.append(required(f"{path}.items", "must be specified"))
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get(
        "x-kubernetes-list-map-keys"
    ):
        message = "must not be empty if x-kubernetes-list-type is map"
        causes.append(required(f"{path}.x-kubernetes-list-map-keys", message))
    return causes


def _check_parts(version: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = f"{path}.additionalPrinterColumns[{index}]"
        if not column.get("name"):
            causes.append(required(f"{where}.name"))
        if column.get("type") not in _COLUMN_TYPES:
            causes.append(not_supported(f"{where}.type", column.get("type"), _COLUMN_TYPES))
        text = column.get("jsonPath") or ""
        if not text:
            causes.append(required(f"{where}.jsonPath"))
        elif not jsonpath.is_valid(text):
            causes.append(invalid(f"{where}.jsonPath", text, "is an invalid JSON path"))
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        for key, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
            text, where = scale.get(key) or "", f"{path}.subresources.scale.{key}"
            if not text:
                causes.append(required(where))
            elif not text.startswith(prefix):
                message = f"should be a json path under {prefix[:-1]}"
                causes.append(invalid(where, text, message))
    return causes


CUSTOM_RESOURCE_DEFINITIONS = Kind(
    group="apiextensions.k8s.io",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    storage="apiextensions.k8s.io/customresourcedefinitions",
    schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    unconditional_update=False,
    subresources=frozenset(("status",)),
    has_generation=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    columns=(NAME, CREATED),
)
