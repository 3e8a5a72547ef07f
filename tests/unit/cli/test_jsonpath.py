"""kubectl's JSONPath; the expected texts were printed by kubectl 1.33 for the same object."""

import pytest

from netemu.cli.failures import CommandFailed
from netemu.cli.jsonpath import Template, find

OBJ = {
    "kind": "List",
    "items": [
        {
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}},
            "spec": {"ports": [{"port": 80, "name": "web"}, {"port": 443}]},
            "status": {"ready": True, "count": 3, "ratio": 0.5},
        },
        {"metadata": {"name": "b"}, "spec": {"ports": []}, "status": {"ready": False, "count": 12}},
    ],
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.kind}", "List"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[0,1].metadata.name}", "a b"),
        ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"),
        ("{.items[0].spec.ports[*].port}", "80 443"),
        ("{.items[0].spec.ports}", '[{"name":"web","port":80},{"port":443}]'),
        ("{..port}", "80 443"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.count}{"\\n"}{end}', "a\t3\nb\t12\n"),
        ("{.items[?(@.status.count>5)].metadata.name}", "b"),
        ('{.items[?(@.metadata.name=="a")].status.ready}', "true"),
        ("{.items[?(@.status.ready==true)].metadata.name}", "a"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
        ("{.items[0].status.ratio}", "0.5"),
        ("{.nope}", ""),
        ("{$.kind} and {@.kind}", "List and List"),
        ("text only", "text only"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert Template(template).render(OBJ) == expected


@pytest.mark.parametrize("template", ["{.items", "{range .items[*]}x", "{end}", "{.a[}"])
def test_wrong_templates_are_usage_errors(template: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        Template(template).render(OBJ)
    assert caught.value.exit_code == 2


def test_find_takes_a_bare_path() -> None:
    assert find(".metadata.name", OBJ["items"][0]) == ["a"]  # type: ignore[index]
    assert find("{.metadata.name}", OBJ["items"][1]) == ["b"]  # type: ignore[index]
