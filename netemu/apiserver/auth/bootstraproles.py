"""The roles that every cluster has, and who has them: data.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_API = "rbac.authorization.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

_CORE = [
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "serviceaccounts",
    "services",
]
_CORE_READ = [
    "bindings",
    "limitranges",
    "namespaces",
    "namespaces/status",
    "persistentvolumeclaims/status",
    "pods/log",
    "pods/status",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "services/status",
]
_POD_STREAMS = [
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
    "secrets",
]
_APPS = [
    "controllerrevisions",
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
]
_GROUPS: tuple[tuple[str, list[str]], ...] = (
    ("apps", _APPS),
    ("autoscaling", ["horizontalpodautoscalers"]),
    ("batch", ["cronjobs", "jobs"]),
    ("policy", ["poddisruptionbudgets"]),
    ("networking.k8s.io", ["ingresses", "networkpolicies"]),
    ("discovery.k8s.io", ["endpointslices"]),
    ("coordination.k8s.io", ["leases"]),
)


def _rule(group: str, resources: Any, verbs: Any) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _paths(paths: str) -> Object:
    return {"nonResourceURLs": paths.split(), "verbs": ["get"]}


_VIEW = [_rule("", [*_CORE, *_CORE_READ], _READ)] + [
    _rule(group, resources, _READ) for group, resources in _GROUPS
]
_EDIT = [
    _rule("", [*_CORE, "pods/attach", "pods/eviction", "pods/exec", "pods/portforward"], _WRITE),
    _rule("", ["pods/proxy", "secrets", "services/proxy"], (*_READ, *_WRITE)),
    _rule("", _POD_STREAMS, _READ),
    _rule("", ["serviceaccounts"], ["impersonate"]),
    _rule("", ["serviceaccounts/token"], ["create"]),
    *(_rule(group, resources, _WRITE) for group, resources in _GROUPS),
]
_ADMIN = [
    _rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
    _rule(_API, ["rolebindings", "roles"], (*_READ, *_WRITE)),
]
_DISCOVERY = (
    "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
)
_SELF = (
    ("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    ("authentication.k8s.io", ["selfsubjectreviews"]),
)

_RULES: dict[str, list[Object]] = {
    "cluster-admin": [
        _rule("*", ["*"], ["*"]),
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "admin": [*_ADMIN, *_EDIT, *_VIEW],
    "edit": [*_EDIT, *_VIEW],
    "view": _VIEW,
    "system:basic-user": [_rule(group, kinds, ["create"]) for group, kinds in _SELF],
    "system:discovery": [_paths(_DISCOVERY)],
    "system:public-info-viewer": [_paths("/healthz /livez /readyz /version /version/")],
    "system:service-account-issuer-discovery": [
        _paths("/.well-known/openid-configuration /openid/v1/jwks")
    ],
    "system:auth-delegator": [
        _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ],
    "system:node-proxier": [
        _rule("", ["endpoints", "services"], ["list", "watch"]),
        _rule("", ["nodes"], _READ),
        _rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
        _rule("networking.k8s.io", ["servicecidrs"], ["list", "watch"]),
        _rule("", ["events"], ["create", "patch", "update"]),
        _rule("events.k8s.io", ["events"], ["create", "patch", "update"]),
    ],
    "system:coredns": [
        _rule("", ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
        _rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
    ],
    "system:kube-dns": [_rule("", ["endpoints", "services"], ["list", "watch"])],
    "system:node": [
        _rule("", ["nodes", "nodes/status"], ("create", *_READ, "patch", "update")),
        _rule("", ["pods"], (*_READ, "create", "delete")),
        _rule("", ["pods/status"], ["patch", "update"]),
        _rule("", ["pods/eviction", "serviceaccounts/token"], ["create"]),
        _rule("", ["configmaps", "secrets", "services"], _READ),
        _rule("", ["events"], ["create", "patch", "update"]),
        _rule("coordination.k8s.io", ["leases"], ("create", "delete", "get", "patch", "update")),
    ],
}

_BINDINGS: tuple[tuple[str, str, str, str], ...] = (
    ("cluster-admin", "cluster-admin", "Group", "system:masters"),
    ("kubeadm:cluster-admins", "cluster-admin", "Group", "kubeadm:cluster-admins"),
    ("system:basic-user", "system:basic-user", "Group", "system:authenticated"),
    ("system:discovery", "system:discovery", "Group", "system:authenticated"),
    ("system:public-info-viewer", "system:public-info-viewer", "Group", "system:authenticated"),
    (
        "system:public-info-viewer:anonymous",
        "system:public-info-viewer",
        "Group",
        "system:unauthenticated",
    ),
    (
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "Group",
        "system:serviceaccounts",
    ),
    ("system:node-proxier", "system:node-proxier", "User", "system:kube-proxy"),
    ("kubeadm:node-proxier", "system:node-proxier", "ServiceAccount", "kube-proxy"),
    ("system:coredns", "system:coredns", "ServiceAccount", "coredns"),
    ("system:node", "system:node", "Group", "system:nodes"),
)


def cluster_roles() -> list[Object]:
    return [
        {"metadata": {"name": name, "labels": dict(_LABELS)}, "rules": rules}
        for name, rules in _RULES.items()
    ]


def cluster_role_bindings() -> list[Object]:
    return [_binding(*row) for row in _BINDINGS]


def _binding(name: str, role: str, kind: str, subject: str) -> Object:
    who: Object = {"kind": kind, "name": subject}
    if kind == "ServiceAccount":
        who["namespace"] = "kube-system"
    else:
        who["apiGroup"] = _API
    return {
        "metadata": {"name": name, "labels": dict(_LABELS)},
        "roleRef": {"apiGroup": _API, "kind": "ClusterRole", "name": role},
        "subjects": [who],
    }
