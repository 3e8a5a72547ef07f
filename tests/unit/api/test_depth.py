from netemu.api.depth import DEEPEST, is_too_deep


def nested(depth: int) -> object:
    value: object = 1
    for number in range(depth):
        value = {"a": value} if number % 2 else [0, value]
    return value


def test_levels() -> None:
    assert not is_too_deep(1)
    assert not is_too_deep([[], {}, {"a": {}}])
    assert not is_too_deep(nested(DEEPEST))
    assert is_too_deep(nested(DEEPEST + 2))
    assert is_too_deep([1, {"b": [2], "a": nested(DEEPEST + 1)}])
