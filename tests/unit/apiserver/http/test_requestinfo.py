import pytest

from netemu.apiserver.http.requestinfo import parse

CASES = [
    ("GET", "/api/v1/pods", "", "list", "pods", "", "", ""),
    ("GET", "/api/v1/pods", "watch=true", "watch", "pods", "", "", ""),
    ("GET", "/api/v1/watch/namespaces/a/pods", "", "watch", "pods", "a", "", ""),
    ("POST", "/api/v1/namespaces/a/pods", "", "create", "pods", "a", "", ""),
    ("GET", "/api/v1/namespaces/a/pods/b", "", "get", "pods", "a", "b", ""),
    ("GET", "/api/v1/namespaces/a", "", "get", "namespaces", "a", "a", ""),
    ("PUT", "/api/v1/namespaces/a/finalize", "", "update", "namespaces", "a", "a", "finalize"),
    ("PATCH", "/api/v1/nodes/n/status", "", "patch", "nodes", "", "n", "status"),
    (
        "DELETE",
        "/apis/apps/v1/namespaces/a/deployments",
        "",
        "deletecollection",
        "deployments",
        "a",
        "",
        "",
    ),
    (
        "DELETE",
        "/apis/apps/v1/namespaces/a/deployments/d",
        "",
        "delete",
        "deployments",
        "a",
        "d",
        "",
    ),
    ("GET", "/apis/g.io/v1/things/a%3Ab", "", "get", "things", "", "a:b", ""),
]


@pytest.mark.parametrize(("method", "path", "query", "verb", "plural", "ns", "name", "sub"), CASES)
def test_resources(method, path, query, verb, plural, ns, name, sub):
    pairs = dict(item.split("=") for item in query.split("&") if item)
    info = parse(method, path, pairs)
    assert (info.verb, info.plural, info.namespace, info.name, info.subresource) == (
        verb,
        plural,
        ns,
        name,
        sub,
    )


@pytest.mark.parametrize("path", ["/", "/version", "/api", "/api/v1", "/apis/apps/v1", "//x//"])
def test_other_paths(path):
    assert not parse("GET", path, {}).is_resource


def test_what_a_proxy_passes_on_is_untouched():
    path = "/api/v1/namespaces/a/pods/http:b:80/proxy/x//y%20z/"
    assert parse("GET", path, {}).rest == "/x//y%20z/"
    assert parse("GET", "/api/v1/nodes/n/proxy", {}).rest == ""
