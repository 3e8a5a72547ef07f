"""What a new pod gets from its surroundings: an account with its token, a priority, tolerations.

Kubernetes' admission plugins ServiceAccount, Priority, DefaultTolerationSeconds and LimitRanger.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from typing import Any

from netemu.api import limitrules, meta, names
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Context
from netemu.errors import ApiError

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607
SYSTEM_CLASSES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def forbid(obj: Object, why: str) -> ApiError:
    name = meta.name(obj)
    return ApiError(
        "Forbidden", f'pods "{name}" is forbidden: {why}', details={"name": name, "kind": "pods"}
    )


def apply_limits(ctx: Context, pods: Kind, obj: Object) -> None:
    """Default requests and limits of the namespace's LimitRanges, and their bounds."""
    kind = ctx.registry.find("", "v1", "limitranges")
    if kind is None:
        return
    ranges = [entry.object for entry in ctx.cache.of(kind).entries(meta.namespace(obj))]
    if ranges:
        limitrules.apply_defaults(ranges, obj)
        refused = limitrules.refusals(ranges, pods, obj)
        if refused:
            raise forbid(obj, ", ".join(refused))


def add_account(ctx: Context, obj: Object) -> None:
    """The ServiceAccount, and a volume with its token where the pod does not refuse one."""
    spec = obj["spec"]
    named = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = named
    kind = ctx.registry.find("", "v1", "serviceaccounts")
    entry = ctx.cache.get(kind, meta.namespace(obj), named) if kind is not None else None
    if entry is None and named != "default":  # `default` may be on its way in a new namespace
        where = f"{meta.namespace(obj)}/{named}"
        why = f'error looking up service account {where}: serviceaccount "{named}" not found'
        raise forbid(obj, why)
    account = entry.object if entry is not None else {}
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken", True)
    if wanted:
        _mount_token(ctx, spec)


def _mount_token(ctx: Context, spec: dict[str, Any]) -> None:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    without = [
        container
        for container in containers
        if all(
            mount.get("mountPath") != TOKEN_PATH for mount in container.get("volumeMounts") or ()
        )
    ]
    if not without:
        return
    volume = names.generate("kube-api-access-", ctx.random)
    spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(volume)]
    for container in without:
        mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _token_volume(name: str) -> Object:
    namespace = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }


def add_priority(ctx: Context, obj: Object) -> None:
    """From the PriorityClass that is named, else the default one, else zero."""
    spec = obj["spec"]
    kind = ctx.registry.find("scheduling.k8s.io", "v1", "priorityclasses")
    named = spec.get("priorityClassName")
    found: Object | None = None
    if named and kind is not None:
        entry = ctx.cache.get(kind, "", named)
        found = entry.object if entry is not None else None
        if found is None and named in SYSTEM_CLASSES:
            found = {"value": SYSTEM_CLASSES[named]}
        if found is None:
            raise forbid(obj, f"no PriorityClass with name {named} was found")
    elif kind is not None:
        found = next(
            (e.object for e in ctx.cache.of(kind).entries() if e.object.get("globalDefault")), None
        )
        if found is not None:
            spec["priorityClassName"] = meta.name(found)
    value = (found or {}).get("value", 0)
    if spec.get("priority") not in (None, value):
        why = "the integer value of priority must not be provided in pod spec; priority admission"
        raise forbid(obj, f"{why} controller computed {value} from the given PriorityClass name")
    spec["priority"] = value
    policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
    spec.setdefault("preemptionPolicy", policy)


def add_tolerations(obj: Object, seconds: int) -> None:
    """Stay for a while on a node that has become unreachable."""
    spec = obj["spec"]
    tolerations = list(spec.get("tolerations") or ())
    for taint in _TAINTS:
        if not any(_tolerates(toleration, taint) for toleration in tolerations):
            tolerations.append(
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": seconds,
                }
            )
    spec["tolerations"] = tolerations


def _tolerates(toleration: Object, taint: str) -> bool:
    key, effect = toleration.get("key") or "", toleration.get("effect") or ""
    return key in ("", taint) and effect in ("", "NoExecute")
