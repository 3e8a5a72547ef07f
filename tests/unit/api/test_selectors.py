import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import selectors
from netemu.errors import ApiError

LABELS = {"app": "web", "tier": "front", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier != back", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("missing notin (db)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("empty=", True),
        ("app=", False),
        ("!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name", True),
        ("app in (web),!tier", False),
        ("x>3", False),
    ],
)
def test_label_text(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


def test_comparison() -> None:
    assert selectors.parse_labels("n>3,n<5").matches({"n": "4"})
    assert not selectors.parse_labels("n>3").matches({"n": "x"})


@pytest.mark.parametrize(
    "text", ["a b", "=x", "a in b", "a in (b", "a=b,", "-a=b", "a=b c", "a>x", "a in (b c)", "!"]
)
def test_unreadable_labels(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        selectors.parse_labels(text)
    assert caught.value.code == 400


def test_label_selector_object() -> None:
    assert not selectors.from_label_selector(None).matches(LABELS)
    assert selectors.from_label_selector({}).matches(LABELS)
    chosen = selectors.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert chosen.matches(LABELS)
    assert str(chosen) == "app=web,tier=front,!gone"


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=x", True),
        ("metadata.name=x,metadata.name=x", True),
        ("metadata.name=x,metadata.name=y", False),
        ("status.phase!=Running", True),
        ("status.phase==Pending,metadata.name!=y", True),
        (r"weird=a\,b", True),
        ("", True),
    ],
)
def test_fields(text: str, matches: bool) -> None:
    values = {"metadata.name": "x", "status.phase": "Pending", "weird": "a,b"}
    assert selectors.parse_fields(text).matches(values) is matches


def test_exact_field() -> None:
    chosen = selectors.parse_fields("spec.nodeName=node-1,status.phase!=Failed")
    assert chosen.exact("spec.nodeName") == "node-1"
    assert chosen.exact("status.phase") is None
    assert chosen.fields == {"spec.nodeName", "status.phase"}


def test_unreadable_fields() -> None:
    with pytest.raises(ApiError):
        selectors.parse_fields("metadata.name")


_words = st.text("abcxyz0189", min_size=1, max_size=8)


@given(st.dictionaries(_words, _words), st.dictionaries(_words, _words))
def test_round_trip_of_equality(wanted: dict[str, str], labels: dict[str, str]) -> None:
    chosen = selectors.from_map(wanted)
    assert selectors.parse_labels(str(chosen)) == chosen
    assert chosen.matches(labels) == (wanted.items() <= labels.items())
