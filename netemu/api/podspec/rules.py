"""Rules for a whole PodSpec, and for what may change in a running pod's.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
"""

from __future__ import annotations

from typing import Any

from netemu.api import names
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.labelrules import check_labels
from netemu.api.podspec.containers import check_containers
from netemu.api.podspec.scheduling import check_affinity, check_spread, check_tolerations
from netemu.api.podspec.security import check_pod_security
from netemu.api.podspec.volumes import check_volumes

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = (1 << 31) - 1
MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048


def check_pod_spec(spec: Object, path: str = "spec") -> list[Cause]:
    """All that is wrong with a PodSpec, be it a pod's or a template's."""
    volumes: dict[str, Object] = {}
    causes: list[Cause] = []
    if spec.get("volumes"):
        volumes, causes = check_volumes(spec["volumes"], f"{path}.volumes")
    causes += check_containers(spec, volumes, path)
    causes += _check_choice(spec, "restartPolicy", _RESTART, path)
    causes += _check_choice(spec, "dnsPolicy", _DNS, path)
    if spec.get("nodeSelector"):
        causes += check_labels(spec["nodeSelector"], f"{path}.nodeSelector")
    causes += _check_host_network(spec, path)
    if spec.get("securityContext") or spec.get("shareProcessNamespace"):
        causes += check_pod_security(spec, path)
    if spec.get("affinity"):
        causes += check_affinity(spec["affinity"], f"{path}.affinity")
    if spec.get("dnsConfig") is not None or spec.get("dnsPolicy") == "None":
        causes += _check_dns(spec, f"{path}.dnsConfig")
    if spec.get("topologySpreadConstraints"):
        where = f"{path}.topologySpreadConstraints"
        causes += check_spread(spec["topologySpreadConstraints"], where)
    if spec.get("tolerations"):
        causes += check_tolerations(spec["tolerations"], f"{path}.tolerations")
    if spec.get("hostAliases"):
        causes += _check_host_aliases(spec["hostAliases"], f"{path}.hostAliases")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        where = f"{path}.readinessGates[{index}].conditionType"
        causes += [invalid(where, kind, why) for why in names.qualified_name(kind)]
    return causes + _check_names(spec, path) + _check_deadlines(spec, path)


def _check_choice(spec: Object, key: str, allowed: tuple[str, ...], path: str) -> list[Cause]:
    value = spec.get(key) or ""
    if value in allowed:
        return []
    where = f"{path}.{key}"
    return [not_supported(where, value, allowed) if value else required(where)]


def _check_names(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(key):
            wrong = names.dns1123_subdomain(spec[key])
            causes += [invalid(f"{path}.{key}", spec[key], why) for why in wrong]
    for key in ("hostname", "subdomain"):
        if spec.get(key):
            wrong = names.dns1123_label(spec[key])
            causes += [invalid(f"{path}.{key}", spec[key], why) for why in wrong]
    return causes


def _check_deadlines(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        message = f"must be between 1 and {_MAX_INT32}, inclusive"
        causes.append(invalid(f"{path}.activeDeadlineSeconds", deadline, message))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        where = f"{path}.terminationGracePeriodSeconds"
        causes.append(invalid(where, grace, "must be greater than or equal to 0"))
    return causes


def _check_host_network(spec: Object, path: str) -> list[Cause]:
    if not spec.get("hostNetwork"):
        return []
    causes: list[Cause] = []
    for group in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(group) or ()):
            for index, port in enumerate(container.get("ports") or ()):
                if port.get("hostPort") != port.get("containerPort"):
                    where = f"{path}.{group}[{at}].ports[{index}].hostPort"
                    message = "must match `containerPort` when `hostNetwork` is true"
                    causes.append(invalid(where, port.get("hostPort"), message))
    return causes


def _check_dns(spec: Object, path: str) -> list[Cause]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", message)]
    config = config or {}
    causes: list[Cause] = []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        message = f"must not have more than {MAX_NAMESERVERS} nameservers"
        causes.append(invalid(f"{path}.nameservers", servers, message))
    for index, server in enumerate(servers):
        causes += [invalid(f"{path}.nameservers[{index}]", server, why) for why in names.ip(server)]
    if len(searches) > MAX_SEARCHES:
        message = f"must not have more than {MAX_SEARCHES} search paths"
        causes.append(invalid(f"{path}.searches", searches, message))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        message = (
            f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) "
            "in the search list"
        )
        causes.append(invalid(f"{path}.searches", searches, message))
    for index, search in enumerate(searches):
        if search == ".":
            continue
        wrong = names.dns1123_subdomain(search.removesuffix(".").replace("_", "-"))
        causes += [invalid(f"{path}.searches[{index}]", search, why) for why in wrong]
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            causes.append(required(f"{path}.options[{index}]", "must not be empty"))
    return causes


def _check_host_aliases(aliases: list[Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, alias in enumerate(aliases):
        where = f"{path}[{index}]"
        address = alias.get("ip") or ""
        causes += [invalid(f"{where}.ip", address, why) for why in names.ip(address)]
        for at, hostname in enumerate(alias.get("hostnames") or ()):
            wrong = names.dns1123_subdomain(hostname)
            causes += [invalid(f"{where}.hostnames[{at}]", hostname, why) for why in wrong]
    return causes


def check_pod_images(spec: Object, path: str = "spec") -> list[Cause]:
    """What holds for pods only: templates may carry blanks around an image, for old times' sake."""
    return [
        invalid(
            f"{path}.{group}[{index}].image",
            container["image"],
            "must not have leading or trailing whitespace",
        )
        for group in ("containers", "initContainers")
        for index, container in enumerate(spec.get(group) or ())
        if container.get("image") and container["image"].strip() != container["image"]
    ]


_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only "
    "additions to existing tolerations), `spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


def check_spec_update(spec: Object, old: Object, path: str = "spec") -> list[Cause]:
    """What changed in a pod's spec that may not."""
    if spec == old:
        return []
    causes: list[Cause] = []
    for group in ("containers", "initContainers"):
        if len(spec.get(group) or ()) != len(old.get(group) or ()):
            message = "pod updates may not add or remove containers"
            return [forbidden(f"{path}.{group}", message)]
    causes += _check_deadline_update(spec, old, f"{path}.activeDeadlineSeconds")
    causes += _check_toleration_update(spec, old, f"{path}.tolerations")
    changed = sorted(
        key
        for key in {*spec, *old}
        if key not in ("activeDeadlineSeconds", "tolerations", "ephemeralContainers")
        and _comparable(spec, key) != _comparable(old, key)
    )
    gates = _gates_only_removed(spec, old)
    if changed == ["schedulingGates"] and gates:
        return causes
    if changed and not (gates and _is_gated(old) and set(changed) <= _GATED):
        causes.append(forbidden(path, f"{_CHANGEABLE}\n{_difference(spec, old, changed)}"))
    return causes


_GATED = {"schedulingGates", "nodeSelector", "affinity"}


def _is_gated(old: Object) -> bool:
    return bool(old.get("schedulingGates"))


def _gates_only_removed(spec: Object, old: Object) -> bool:
    before = old.get("schedulingGates") or []
    return all(gate in before for gate in spec.get("schedulingGates") or ())


def _comparable(spec: Object, key: str) -> Any:
    """A field without the parts that may change: images, and what an update sets anew."""
    value = spec.get(key)
    if key in ("containers", "initContainers"):
        return [{**container, "image": ""} for container in value or ()]
    return value or None


def _difference(spec: Object, old: Object, changed: list[str]) -> str:
    """The changed fields, as a reader finds them: before and after."""
    return "\n".join(f"  {key}: {old.get(key)!r} -> {spec.get(key)!r}" for key in changed)


def _check_deadline_update(spec: Object, old: Object, path: str) -> list[Cause]:
    new, before = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if new is None:
        if before is None:
            return []
        return [invalid(path, None, "must not update from a positive integer to nil value")]
    if before is not None and before < new:
        return [invalid(path, new, "must be less than or equal to previous value")]
    return []


def _check_toleration_update(spec: Object, old: Object, path: str) -> list[Cause]:
    def identity(toleration: Object) -> tuple[Any, ...]:
        return tuple(toleration.get(key) for key in ("key", "operator", "value", "effect"))

    kept = {identity(toleration) for toleration in spec.get("tolerations") or ()}
    if all(identity(toleration) in kept for toleration in old.get("tolerations") or ()):
        return []
    message = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden(path, message)]
