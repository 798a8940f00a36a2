"""Damaged spools: what a reader makes of flipped bits, torn tails and lost pages."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spool_kit import as_read, die, drain, orphan, queue, record

from headrace.producer.spool.segment_format import HEADER_BYTES, Header, header_bytes

COUNT = 1200


class Left:
    """A dead process's folder of several segments, copied afresh for each damage."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory()
        made = queue(Path(self._home.name))
        self.spans: dict[int, tuple[str, int, int]] = {}  # by position: file, first byte, end
        for number in range(COUNT):
            assert made.append(record(number, number % 200))
            segment = made._segment
            end = segment.tail[0]
            self.spans[number] = (segment.path.name, end - len_of(number), end)
        self.folder = die(made)
        self.files = sorted(path.name for path in self.folder.glob("*.seg"))

    def copy(self) -> Path:
        target = Path(tempfile.mkdtemp()) / self.folder.name
        shutil.copytree(self.folder, target)
        return target


def len_of(number: int) -> int:
    each = record(number, number % 200)
    return 52 + len(each.topic.encode()) + len(each.key or b"") + len(each.value)


_left: list[Left] = []


def left() -> Left:
    if not _left:
        _left.append(Left())
    return _left[0]


damage = st.tuples(
    st.sampled_from(["flip", "zero", "garbage", "truncate"]), st.integers(0, 3), st.integers(0, 1 << 16),
    st.integers(1, 5000), st.integers(0, 255),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(damages=st.lists(damage, min_size=1, max_size=4))
def test_only_what_was_hit_is_lost(damages: list[tuple[str, int, int, int, int]]) -> None:
    """A record comes back, exact and in order, unless its own bytes were hit; and nothing else comes back."""
    origin = left()
    folder = origin.copy()
    hit: dict[str, list[tuple[int, int]]] = {}
    for kind, which, wanted, length, byte in damages:
        name = origin.files[which % len(origin.files)]
        data = bytearray((folder / name).read_bytes())
        at = min(wanted, len(data))
        end = len(data) if kind == "truncate" else min(at + (1 if kind == "flip" else length), len(data))
        if kind == "truncate":
            del data[at:]
        elif kind == "flip" and at < len(data):
            data[at] ^= byte or 1
        else:
            data[at:end] = bytes(end - at) if kind == "zero" else bytes((byte + i * 37) % 256 for i in range(end - at))
        (folder / name).write_bytes(data)
        hit.setdefault(name, []).append((at, end))
    try:
        reader = orphan(folder)
        found = drain(reader)
    finally:
        shutil.rmtree(folder.parent)
    positions = [position for position, _ in found]
    assert positions == sorted(set(positions))
    for position, each in found:
        assert each._replace(schema_text="") == as_read(position, size=position % 200)._replace(schema_text="")
    missing = set(range(COUNT)) - set(positions)
    for position in missing:
        name, start, end = origin.spans[position]
        assert any(a < end and start < b for a, b in hit.get(name, []))
    inner = {position for position in missing if any(later > position for later in positions)}
    if not any(start < HEADER_BYTES for spans in hit.values() for start, _ in spans):
        assert sum(reader.losses.values()) >= len(inner)
    assert sum(reader.losses.values()) <= len(missing)


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    """A record that was being written when the process died is no record, and hides none."""
    made = queue(tmp_path)
    for number in range(10):
        made.append(record(number))
    segment = made._segment
    made._map[segment.tail[0] : segment.tail[0] + 30] = made._map[HEADER_BYTES : HEADER_BYTES + 30]
    reader = orphan(die(made))
    assert len(drain(reader)) == 10
    assert reader._reader is not None
    assert (len(reader._reader.torn_ends), reader._reader.holes, reader.losses) == (1, 0, {})


def test_a_hole_is_counted(tmp_path: Path) -> None:
    """A lost page in the middle: the records in it are counted as damaged, those around it are read."""
    made = queue(tmp_path)
    for number in range(100):
        made.append(record(number))
    made._map[4000:8000] = bytes(4000)
    reader = orphan(die(made))
    found = drain(reader)
    assert reader._reader is not None
    assert (len(reader._reader.torn_ends), reader._reader.holes) == (0, 1)
    assert reader.losses == {"damaged": 100 - len(found)}
    assert 60 < len(found) < 90


def test_a_record_within_a_record_is_none(tmp_path: Path) -> None:
    """An event whose value is a segment's bytes cannot pass for events, even where the one around it is damaged."""
    first = queue(tmp_path)
    for number in range(20):
        first.append(record(number))
    smuggled = first._map[HEADER_BYTES : first._segment.tail[0]]
    first.close()
    made = queue(tmp_path)
    made.append(record(0)._replace(value=b"\xc3\x01FINGERPR" + smuggled))
    made.append(record(1))
    made._map[HEADER_BYTES + 200] ^= 1
    made._map[made._segment.tail[0] - 400] ^= 1
    assert [position for position, _ in drain(orphan(die(made)))] == [1]


def test_a_damaged_schema_costs_no_event(tmp_path: Path) -> None:
    """Events of a segment whose schema text is damaged are delivered; only its text is not known then."""
    made = queue(tmp_path)
    made.append(record(0))
    made._map[HEADER_BYTES + 60] ^= 1
    assert drain(orphan(die(made))) == [(0, as_read(0)._replace(schema_text=""))]


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    """A segment that a newer version wrote is refused, not misread."""
    made = queue(tmp_path)
    made.append(record(0))
    made._map[:HEADER_BYTES] = header_bytes(Header(2, 1, 0, bytes(16), 0, 0))
    folder = die(made)
    with pytest.raises(ValueError, match="newer"):
        orphan(folder)
