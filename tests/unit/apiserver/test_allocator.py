import random

from hypothesis import given
from hypothesis import strategies as st

from netemu.apiserver.allocator import Allocator, Range, addresses, number_of, ports


def test_bands_of_the_default_ranges():
    assert addresses("10.96.0.0/12").low == number_of("10.96.0.1")
    services = Allocator(addresses("10.96.0.0/12"))
    assert services.pick(random.Random(1)) >= number_of("10.96.1.1")
    assert not services.contains(number_of("10.111.255.255"))
    assert Allocator(ports(30000, 32767)).pick(random.Random(1)) >= 30086


def test_the_lower_band_is_used_when_the_rest_is_full():
    allocator = Allocator(Range(0, 9, 4))
    numbers = [allocator.pick(random.Random(0)) for _ in range(10)]
    assert set(numbers[:6]) == set(range(4, 10)) and set(numbers[6:]) == set(range(4))
    assert allocator.pick(random.Random(0)) is None


ACTIONS = st.sampled_from(["pick", "assign", "free", "release"])


@given(st.lists(st.tuples(ACTIONS, st.integers(0, 7))))
def test_nobody_gets_what_somebody_has(actions):
    allocator = Allocator(Range(0, 7, 2))
    reserved: list[int] = []
    used: dict[int, set[str]] = {}
    for action, number in actions:
        if action == "pick":
            got = allocator.pick(random.Random(number))
            taken = set(reserved) | {n for n, owners in used.items() if owners}
            assert (got is None) is (len(taken) == 8)
            if got is not None:
                assert got not in taken
                reserved.append(got)
        elif action == "assign":
            allocator.assign([number], "me")
            used.setdefault(number, set()).add("me")
        elif action == "free":
            allocator.free([number], "me")
            used.pop(number, None)
        elif reserved:
            allocator.release(reserved.pop())
    for number in range(8):
        free = number not in reserved
        assert allocator.is_free(number, "me") is free
        assert allocator.is_free(number) is (free and not used.get(number))


def test_ranges_come_and_go():
    allocator = Allocator(Range(0, 1, 0))
    assert {allocator.pick(random.Random(0)) for _ in range(3)} == {0, 1, None}
    allocator.ranges = [Range(0, 1, 0), Range(1, 3, 0)]
    assert {allocator.pick(random.Random(0)) for _ in range(3)} == {2, 3, None}
    allocator.assign([3], "me")
    allocator.ranges = [Range(0, 1, 0)]
    assert allocator.has(3, "me") and not allocator.has(3, "you") and not allocator.contains(3)
