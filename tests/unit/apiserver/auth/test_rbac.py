import pytest

from netemu.apiserver.auth.rbac import Attributes, Roles, path_matches, rule_allows
from netemu.apiserver.auth.user import User, service_account

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def asked(verb="get", resource="pods", **more):
    return Attributes(verb=verb, resource=resource, **more)


@pytest.mark.parametrize(
    ("rule", "question", "allowed"),
    [
        (READ_PODS, asked(), True),
        (READ_PODS, asked("delete"), False),
        (READ_PODS, asked(group="apps"), False),
        (READ_PODS, asked(subresource="log"), False),
        ({**READ_PODS, "resources": ["pods/log"]}, asked(subresource="log"), True),
        ({**READ_PODS, "resources": ["*/log"]}, asked(subresource="log"), True),
        ({**READ_PODS, "resources": ["*"], "verbs": ["*"]}, asked("x", subresource="y"), True),
        ({**READ_PODS, "resourceNames": ["a"]}, asked(name="a"), True),
        ({**READ_PODS, "resourceNames": ["a"]}, asked(name="b"), False),
        ({**READ_PODS, "resourceNames": ["a"]}, asked("list"), False),
        ({"nonResourceURLs": ["/healthz"], "verbs": ["get"]}, asked(), False),
        (READ_PODS, Attributes(verb="get", path="/healthz"), False),
    ],
)
def test_one_rule(rule, question, allowed):
    assert rule_allows(rule, question) is allowed


def test_paths():
    assert path_matches("/api/*", "/api/v1") and path_matches("*", "/x")
    assert path_matches("/version", "/version/")
    assert not path_matches("/api/*", "/apis") and not path_matches("/api", "/api/v1")


def binding(subject, role, kind="ClusterRole"):
    return {"subjects": [subject], "roleRef": {"kind": kind, "name": role}}


def test_bindings_hold_where_they_are():
    here = [binding({"kind": "ServiceAccount", "name": "me"}, "reader", "Role")]
    roles = Roles(
        lambda namespace: here if namespace == "a" else [],
        lambda namespace, name: (
            {"rules": [READ_PODS]} if (namespace, name) == ("a", "reader") else None
        ),
    )
    me = service_account("a", "me")
    assert roles.allow(me, asked(namespace="a"))
    assert not roles.allow(me, asked(namespace="b"))
    assert not roles.allow(me, asked())
    assert not roles.allow(service_account("b", "me"), asked(namespace="a"))


def test_groups_and_masters():
    everywhere = [binding({"kind": "Group", "name": "ops"}, "reader")]
    roles = Roles(
        lambda namespace: [] if namespace else everywhere,
        lambda namespace, name: {"rules": [READ_PODS]},
    )
    assert roles.allow(User(name="x", groups=("ops",)), asked(namespace="any"))
    assert not roles.allow(User(name="ops"), asked())
    assert roles.allow(User(name="root", groups=("system:masters",)), asked("anything", "at-all"))
