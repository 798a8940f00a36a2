"""Positions decide what a record is, also where its bytes and its CRC are good."""

from pathlib import Path

from spool_kit import as_read, die, drain, orphan, queue, record

from headrace.producer.spool.cursor import Cursor, write_cursor
from headrace.producer.spool.segment_format import EVENT, FRAME_BYTES, HEADER_BYTES, parse_at, seed_of

COUNT = 60


def left_behind(spool: Path) -> tuple[Path, list[tuple[int, int]]]:
    """A dead process's folder of one segment, and where each record begins and ends in it."""
    made = queue(spool)
    ends = [made._segment.tail[0]]
    for number in range(COUNT):
        assert made.append(record(number))
        ends.append(made._segment.tail[0])
    # The first record comes after the writer's schema, so its own beginning is counted back from its end.
    size = ends[2] - ends[1]
    return die(made), [(end - size, end) for end in ends[1:]]


def test_a_cursor_that_names_another_record_is_not_believed(tmp_path: Path) -> None:
    """A whole cursor whose offset and position do not belong together loses nothing: reading begins at the start."""
    folder, places = left_behind(tmp_path)
    write_cursor(folder, Cursor(0, places[10][0], 50))
    assert [found.value for _, found in drain(orphan(folder))] == [as_read(n).value for n in range(COUNT)]


def test_a_cursor_at_a_damaged_record_skips_nothing(tmp_path: Path) -> None:
    """The record that the cursor names was damaged since, and there are segments behind its own: what stands behind it
    in its segment was not delivered, and is."""
    made = queue(tmp_path)
    for number in range(60):
        made.append(record(number, size=3000))
    folder = die(made)
    assert len(list(folder.glob("*.seg"))) > 2
    path = folder / "000000000000.seg"
    data, at, seed = bytearray(path.read_bytes()), HEADER_BYTES, seed_of(folder.name, 0)
    while (stored := parse_at(bytes(data), at, seed)) is not None and (stored.kind != EVENT or stored.position < 5):
        at += stored.length
    data[at + FRAME_BYTES + 20] ^= 1
    path.write_bytes(data)
    write_cursor(folder, Cursor(0, at, 5))
    assert [position for position, _ in drain(orphan(folder))] == [*range(5), *range(6, 60)]


def test_a_cursor_that_fits_its_record_is_where_reading_begins(tmp_path: Path) -> None:
    """What lies before a good cursor was delivered and does not come again."""
    folder, places = left_behind(tmp_path)
    write_cursor(folder, Cursor(0, places[10][0], 10))
    assert [position for position, _ in drain(orphan(folder))] == list(range(10, COUNT))


def test_an_old_record_in_anothers_place_is_damage(tmp_path: Path) -> None:
    """A disk that puts record 7's good bytes where 20 was has lost 20: 7 is not delivered a second time."""
    folder, places = left_behind(tmp_path)
    (segment,) = folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[slice(*places[20])] = data[slice(*places[7])]
    segment.write_bytes(data)
    orphaned = orphan(folder)
    assert [position for position, _ in drain(orphaned)] == [n for n in range(COUNT) if n != 20]
    assert dict(orphaned.losses) == {"damaged": 1}
