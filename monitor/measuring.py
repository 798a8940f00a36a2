"""What one event adds to a rule's windows: filters, groups, and the cells that counts and sketches are kept in.

A cell holds what came of one group in one hop. Cells add up in any order, so that partitions, workers and batches may
be put together as they come.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from .rules import Filter, Group, Rule

LABEL_CHARS_MAX = 200
SKETCH_LG_K = 11
"""Registers of a sketch, as a power of two: 2,048, for a standard error of 1.8 %."""

Event: TypeAlias = Mapping[str, Any]


class Sketch(Protocol):
    """A HyperLogLog sketch, as `datasketches` has it."""

    def update(self, value: str) -> None:
        """Count a value."""

    def get_estimate(self) -> float:
        """Return about how many different values were counted."""

    def serialize_compact(self) -> bytes:
        """Return the sketch as bytes."""


class Cell:
    """What came of one group in one hop: events that match, events among which they are, and a sketch."""

    __slots__ = ("among", "matched", "sketch")

    def __init__(self, matched: int = 0, among: int = 0, sketch: Sketch | None = None) -> None:
        self.matched = matched
        self.among = among
        self.sketch = sketch

    def add(self, other: "Cell") -> None:
        """Take in another cell of the same group."""
        self.matched += other.matched
        self.among += other.among
        if other.sketch is not None:
            self.sketch = union(other.sketch) if self.sketch is None else union(self.sketch, other.sketch)


class CellKey(NamedTuple):
    """Which cell: the start of its hop (microseconds), and its group."""

    start_us: int
    group: Group


def new_sketch() -> Sketch:
    """Return an empty sketch. Raises ModuleNotFoundError without the extra `monitor`."""
    from datasketches import hll_sketch, tgt_hll_type  # noqa: PLC0415 - only rules on distinct values need it

    made: Sketch = hll_sketch(SKETCH_LG_K, tgt_hll_type.HLL_8)
    return made


def union(*sketches: Sketch) -> Sketch:
    """Return a sketch of all that some sketches counted."""
    from datasketches import hll_union, tgt_hll_type  # noqa: PLC0415 - as above

    both = hll_union(SKETCH_LG_K)
    for each in sketches:
        both.update(each)
    made: Sketch = both.get_result(tgt_hll_type.HLL_8)
    return made


def sketch_of(body: bytes) -> Sketch:
    """Return the sketch that serialize_compact() gave."""
    from datasketches import hll_sketch  # noqa: PLC0415 - as above

    made: Sketch = hll_sketch.deserialize(body)
    return made


def label(value: object) -> str:
    """Return a field's value as a label: text, at most LABEL_CHARS_MAX characters; null is empty."""
    if isinstance(value, str):
        return value[:LABEL_CHARS_MAX]
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()[:LABEL_CHARS_MAX]
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)[:LABEL_CHARS_MAX]


def group_of(rule: Rule) -> Callable[[Event], Group]:
    """Return what finds an event's group."""
    names = rule.group_by
    if not names:
        return lambda _event: ()
    if len(names) == 1:
        (name,) = names
        return lambda event: (label(event.get(name)),)
    return lambda event: tuple(label(event.get(name)) for name in names)


def matcher(wanted: Filter) -> Callable[[Event], bool] | None:
    """Return what says whether an event passes a filter; None when all events do."""
    if not wanted:
        return None
    if len(wanted) == 1:
        ((name, values),) = wanted
        allowed = frozenset(values)
        return lambda event: event.get(name) in allowed
    sets = [(name, frozenset(values)) for name, values in wanted]
    return lambda event: all(event.get(name) in allowed for name, allowed in sets)
