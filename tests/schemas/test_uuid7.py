"""Event ids."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.schemas.uuid7 import Uuid7


def ones(size: int) -> bytes:
    return b"\xff" * size


def test_layout_is_that_of_rfc_9562() -> None:
    """48 bits of milliseconds, version 7, variant 10, and random bits elsewhere."""
    made = Uuid7(ones).next(0x0123456789AB)
    assert made.hex() == "0123456789ab" + "77ff" + "bfffffffffffffff"


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**48 - 2), min_size=2, max_size=50))
def test_ids_strictly_increase_whatever_the_clock_does(times: list[int]) -> None:
    """Ids made one after the other sort in that order, with a clock that stands, jumps or steps back."""
    ids = Uuid7(ones)
    made = [ids.next(time) for time in times]
    assert all(a < b for a, b in pairwise(made))
    assert all(each[6] >> 4 == 7 and each[8] >> 6 == 2 and len(each) == 16 for each in made)


def test_each_millisecond_has_randomness_of_its_own() -> None:
    """Within a millisecond ids count up; the next one takes ten other random bytes, out of a supply for a hundred."""
    draws: list[int] = []

    def numbered(size: int) -> bytes:
        draws.append(size)
        return b"".join(number.to_bytes(10, "big") for number in range(1, size // 10 + 1))

    ids = Uuid7(numbered)
    made = [int.from_bytes(ids.next(5), "big") for _ in range(3)]
    assert made[2] - made[0] == 2
    tails = [int.from_bytes(ids.next(time), "big") & 0xFFFF for time in range(6, 106)]
    assert tails == [*range(2, 101), 1]
    assert draws == [1000, 1000]


def test_a_counter_that_runs_over_goes_to_the_next_millisecond() -> None:
    """The last id of a millisecond is followed by the first of the next."""
    ids = Uuid7(ones)
    before = ids.next(7)
    ids._tail = (1 << 74) - 1
    after = ids.next(7)
    assert after > before
    assert int.from_bytes(after[:6], "big") == 8


def test_generators_with_other_randomness_make_other_ids() -> None:
    """Two processes in the same millisecond do not collide."""
    assert Uuid7(ones).next(9) != Uuid7(bytes).next(9)
