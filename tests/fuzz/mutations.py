"""How good bytes and good JSON are damaged."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

VARINT_BOMBS = (
    b"\xff" * 9 + b"\x01",  # the largest
    b"\xfe" * 9 + b"\x01",
    b"\x80" * 9 + b"\x01",
    b"\xff\xff\xff\xff\x0f",  # 2^31 as a length or a count
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",  # never ends
    b"\x01",  # -1: a block with its size before it, or a length below zero
    b"\xc0\x84\x3d",  # a million
)

numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, float("nan")]),
)
kinds = st.sampled_from(["commit", "seal", "rewrite", "expire", "intent", "moved"])
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=6), kinds)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes with one to four things done to them; now and then none."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "drop", "insert", "repeat", "bomb", "splice"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=12))
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
        elif kind == "bomb":
            bomb = draw(st.sampled_from(VARINT_BOMBS))
            data[at : at + draw(st.sampled_from([0, 1, len(bomb)]))] = bomb
        elif kind == "splice":
            other = draw(good)
            data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


@st.composite
def damaged_json(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value with one or two of its members changed, taken out or doubled."""
    value = good
    for _ in range(draw(st.integers(1, 2))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(value)))
        what = draw(st.sampled_from(["within", "within", "drop", "replace"]))
        rest = {key: each for key, each in value.items() if key != name}
        if what == "drop":
            return rest
        return {**rest, name: _changed(draw, value[name]) if what == "within" else draw(json_values)}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        change: Callable[[], list[Any]] = draw(
            st.sampled_from(
                [
                    lambda: [_changed(draw, value[at])],
                    lambda: [_changed(draw, value[at])],
                    lambda: [value[at], value[at]],
                    list,
                ]
            )
        )
        return [*value[:at], *change(), *value[at + 1 :]]
    return draw(json_values)
