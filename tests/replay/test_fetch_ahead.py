"""Fetching ahead: in order, within its bounds, whatever the sizes; an error comes where its object would have."""

from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.replay.fetch_ahead import AHEAD_BYTES_MAX, AHEAD_MAX, FetchAhead

Key = tuple[int, int]  # number, bytes


class Watched(FetchAhead[Key, Key]):
    """Notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[Key] = []
        super().__init__(lambda key: key, threads=2)

    def _submit(self, key: Key) -> "Future[Key]":
        self.asked.append(key)
        return super()._submit(key)


@settings(deadline=None, max_examples=200)
@given(sizes=st.lists(st.integers(0, 1000) | st.integers(0, 2 * AHEAD_BYTES_MAX), max_size=40))
def test_what_is_ahead_of_the_reader_is_bounded(sizes: list[int]) -> None:
    """While an object is worked on, those asked for behind it have at most AHEAD_BYTES_MAX together, or are one alone.

    And they are one at least, as long as there are any, so that the reader does not wait for what it could have had.
    """
    keys = list(enumerate(sizes))
    fetching = Watched()
    taken: list[Key] = []
    for body in fetching.each(keys, size=lambda key: key[1]):
        taken.append(body)
        ahead = fetching.asked[len(taken) :]
        assert len(ahead) <= AHEAD_MAX
        assert len(ahead) <= 1 or sum(size for _, size in ahead) <= AHEAD_BYTES_MAX
        assert ahead or len(taken) == len(keys)
    assert taken == fetching.asked == keys


def test_an_error_comes_in_its_place() -> None:
    """What lies before it is given out; it is the error that fetch() raised."""

    def fetch(number: int) -> int:
        if number == 2:
            raise OSError("gone")
        return number

    bodies = FetchAhead(fetch, 4).each(range(9), size=lambda _key: 1)
    assert [next(bodies), next(bodies)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(bodies)
