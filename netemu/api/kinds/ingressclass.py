"""IngressClass: which controller an Ingress is for.

https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class
"""

from __future__ import annotations

from netemu.api import names
from netemu.api.cells import AGE, NAME, NONE, at
from netemu.api.invalid import forbidden, invalid, not_supported, required, too_long
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import immutable

MAX_CONTROLLER = 250


def _default(obj: Object) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    causes: list[Cause] = []
    if len(controller) > MAX_CONTROLLER:
        causes.append(too_long("spec.controller", MAX_CONTROLLER))
    if not controller:
        causes.append(required("spec.controller"))
    elif "/" not in controller or names.dns1123_subdomain(controller.partition("/")[0]):
        message = 'must be a domain-prefixed path (such as "acme.io/foo")'
        causes.append(invalid("spec.controller", controller, message))
    if old is not None:
        causes += immutable(obj, old, "controller")
    return causes + _check_parameters(spec.get("parameters"), "spec.parameters")


def _check_parameters(parameters: Object | None, path: str) -> list[Cause]:
    if parameters is None:
        return []
    causes = [
        required(f"{path}.{key}", f"{key} is required")
        for key in ("kind", "name")
        if not parameters.get(key)
    ]
    scope, space = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        causes.append(not_supported(f"{path}.scope", scope, ("Cluster", "Namespace")))
    if scope == "Namespace" and not space:
        message = "`parameters.scope` is set to 'Namespace'"
        causes.append(required(f"{path}.namespace", message))
    if scope == "Cluster" and space is not None:
        message = "`parameters.scope` is set to 'Cluster'"
        causes.append(forbidden(f"{path}.namespace", message))
    return causes


def _parameters(obj: Object, now: float) -> str:
    found = (obj.get("spec") or {}).get("parameters")
    if not found:
        return NONE
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind')}{group}/{found.get('name')}"


INGRESS_CLASSES = Kind(
    group="networking.k8s.io",
    plural="ingressclasses",
    kind="IngressClass",
    namespaced=False,
    schema="io.k8s.api.networking.v1.IngressClass",
    has_generation=True,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("Controller", at("spec", "controller")),
        Column("Parameters", _parameters),
        AGE,
    ),
)
