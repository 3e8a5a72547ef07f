"""Request bodies in Kubernetes' protobuf form, decoded to JSON objects.

Clients since client-go 0.32 send them without being asked. The envelope is `k8s\\0` and a
`runtime.Unknown`; its `raw` is the object as a message. Go's JSON form differs from protobuf's:
embedded structs are flat, and some types (times, quantities, IntOrString …) are JSON scalars.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message, message_factory

from netemu.api.kind import Object
from netemu.api.schema.definitions import definitions, read_data
from netemu.errors import ApiError

MAGIC = b"k8s\0"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
_META_KINDS = frozenset(("DeleteOptions", "Status", "APIVersions", "WatchEvent"))
_ZERO_TIME = -62135596800  # what Go's zero time.Time encodes to


def decode(body: bytes) -> Object:
    """The object in a protobuf request body. ApiError BadRequest when it cannot be read."""
    if body[:4] != MAGIC:
        raise ApiError("BadRequest", "provided data does not appear to be a protobuf message")
    envelope = _message_class("k8s.io.apimachinery.pkg.runtime.Unknown")()
    try:
        envelope.ParseFromString(body[4:])
        api_version, kind = envelope.typeMeta.apiVersion, envelope.typeMeta.kind
        found = _message_class(_full_name(api_version, kind))()
        found.ParseFromString(envelope.raw)
    except message.DecodeError as problem:
        raise ApiError("BadRequest", f"unable to decode protobuf: {problem}") from problem
    except KeyError as problem:
        text = f'no kind "{kind}" is registered for version "{api_version}" in protobuf form'
        raise ApiError("BadRequest", text) from problem
    try:
        return {"apiVersion": api_version, "kind": kind, **_fields(found)}
    except (ValueError, OverflowError, OSError, RecursionError) as problem:
        # a time that no calendar has, or embedded JSON that is none
        raise ApiError("BadRequest", f"unable to decode protobuf: {problem}") from problem


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """The messages of k8s.io/api, apimachinery and apiextensions. 20 ms, at the first use."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString(read_data("kubernetes.fds.gz"))
    for file in files.file:
        pool.Add(file)
    return pool


@cache
def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def _full_name(api_version: str, kind: str) -> str:
    """`apps/v1`, `Deployment` → `k8s.io.api.apps.v1.Deployment`."""
    if kind in _META_KINDS:
        return _META + kind
    group, _, version = api_version.rpartition("/")
    name = group.removesuffix(".k8s.io").split(".")[0] or "core"
    if name == "apiextensions":
        return f"k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.{version}.{kind}"
    return f"k8s.io.api.{name}.{version}.{kind}"


def _time(found: Any) -> str | None:
    if found.seconds == _ZERO_TIME or not (found.HasField("seconds") or found.HasField("nanos")):
        return None
    return datetime.fromtimestamp(found.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(found: Any) -> str | None:
    if found.seconds == _ZERO_TIME or not (found.HasField("seconds") or found.HasField("nanos")):
        return None
    whole = datetime.fromtimestamp(found.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{found.nanos // 1000:06d}Z"


def _duration(found: Any) -> str:
    """Go's form: `1h2m3.5s`."""
    seconds = abs(found.duration) / 1e9
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    text = f"{hours:.0f}h" if hours else ""
    text += f"{minutes:.0f}m" if hours or minutes else ""
    return ("-" if found.duration < 0 else "") + f"{text}{left:g}s"


def _raw_json(found: Any) -> Any:
    return json.loads(found.raw) if found.raw else None


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "Duration": _duration,
    _META + "Verbs": lambda found: list(found.items),
    _META + "FieldsV1": lambda found: json.loads(found.Raw or b"{}"),
    "k8s.io.apimachinery.pkg.api.resource.Quantity": lambda found: found.string,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": lambda found: (
        found.strVal if found.type else found.intVal
    ),
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
    "k8s.io.api.authorization.v1.ExtraValue": lambda found: list(found.items),
    "k8s.io.api.authentication.v1.ExtraValue": lambda found: list(found.items),
    "k8s.io.api.certificates.v1.ExtraValue": lambda found: list(found.items),
    _EXTENSIONS + "JSON": _raw_json,
    _EXTENSIONS + "JSONSchemaPropsOrArray": lambda found: (
        _fields(found.schema)
        if found.HasField("schema")
        else [_fields(item) for item in found.jSONSchemas]
    ),
    _EXTENSIONS + "JSONSchemaPropsOrBool": lambda found: (
        _fields(found.schema) if found.HasField("schema") else found.allows
    ),
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": lambda found: (
        _fields(found.schema) if found.HasField("schema") else list(found.property)
    ),
}

_POINTERS = """
activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation
allowVolumeExpansion attachRequired automountServiceAccountToken averageUtilization
backoffLimit backoffLimitPerIndex blockOwnerDeletion collisionCount completions controller
defaultMode deletionGracePeriodSeconds enableServiceLinks endPort expirationSeconds
failedJobsHistoryLimit fsGroup gracePeriodSeconds hostUsers immutable leaseDurationSeconds
leaseTransitions limitBytes lun manualSelector maxFailedIndexes maxItems maxLength
maxProperties maximum minItems minLength minProperties minReplicas minimum mode optional
orphanDependents parallelism partition podInfoOnMount priority privileged
progressDeadlineSeconds readOnlyRootFilesystem ready replicas requiresRepublish
revisionHistoryLimit runAsGroup runAsNonRoot runAsUser serving setHostnameAsFQDN
shareProcessNamespace sinceSeconds stabilizationWindowSeconds started startingDeadlineSeconds
storageCapacity storageClassName successfulJobsHistoryLimit suspend tailLines
targetAverageUtilization targetCPUUtilizationPercentage terminating
terminationGracePeriodSeconds timeoutSeconds tolerationSeconds ttlSecondsAfterFinished
"""
_KEEP_ZERO = frozenset(_POINTERS.split())
"""Fields that are pointers in Go: their zero says something. Of all others it is left out."""


def _is_embedded(kind: descriptor.Descriptor, field: descriptor.FieldDescriptor) -> bool:
    """Whether Go embeds the message, so that its JSON fields belong to the parent.

    The published schemas tell: an embedded message is no property of its parent there.
    """
    if field.message_type is None or field.is_repeated:
        return False
    properties = _definition(kind).get("properties") or {}
    return bool(properties) and _json_name(kind, field) not in properties


def _definition(kind: descriptor.Descriptor) -> dict[str, Any]:
    name = kind.full_name.replace("apiextensions_apiserver", "apiextensions-apiserver")
    return definitions().get("io.k8s." + name.removeprefix("k8s.io.")) or {}


def _json_name(kind: descriptor.Descriptor, field: descriptor.FieldDescriptor) -> str:
    """Protobuf's names are Go's but for some odd cases: `aPIGroup`, `xKubernetesMapType`."""
    properties = _definition(kind).get("properties") or {}
    if field.name in properties or not properties:
        return str(field.name)
    dashed = re.sub(r"(?<!^)([A-Z])", lambda found: f"-{found[1].lower()}", field.name)
    lowered = {name.lower(): name for name in properties}
    for candidate in (f"${field.name}", dashed, lowered.get(field.name.lower(), "")):
        if candidate in properties:
            return str(candidate)
    return str(field.name)


Convert = Callable[[Any], Any]
_plans: dict[str, dict[int, tuple[str, Convert, bool, bool]]] = {}


def _fields(found: Any) -> dict[str, Any]:
    """The JSON object of a message."""
    plan = _plan(found.DESCRIPTOR)
    made: dict[str, Any] = {}
    for field, value in found.ListFields():
        name, convert, embedded, keep = plan[field.number]
        converted = convert(value)
        if embedded:
            made.update(converted)
        elif converted is not None and (converted or keep or converted.__class__ is dict):
            made[name] = converted
    return made


def _plan(kind: descriptor.Descriptor) -> dict[int, tuple[str, Convert, bool, bool]]:
    """For each field: JSON name, conversion, whether it is embedded, whether its zero counts."""
    plan = _plans.get(kind.full_name)
    if plan is None:
        required = _definition(kind).get("required") or ()
        plan = {}
        for field in kind.fields:
            name = _json_name(kind, field)
            keep = name in _KEEP_ZERO or name in required or field.message_type is not None
            plan[field.number] = name, _conversion(field), _is_embedded(kind, field), keep
        _plans[kind.full_name] = plan
    return plan


def _conversion(field: descriptor.FieldDescriptor) -> Convert:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        one = _single(inner.fields_by_name["value"])
        return lambda value: {key: one(value[key]) for key in sorted(value)}
    one = _single(field)
    if field.is_repeated:
        return lambda value: [one(item) for item in value]
    return one


def _single(field: descriptor.FieldDescriptor) -> Convert:
    if field.message_type is not None:
        return _SPECIAL.get(field.message_type.full_name, _fields)
    if field.type == descriptor.FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value
