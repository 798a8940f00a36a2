"""The queue that a ship process has of a living process's folder: what it reads, waits for, removes, never does."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from spool_kit import SMALL, Clock, as_read, record

from headrace.producer.record import Record
from headrace.producer.spool import ownership
from headrace.producer.spool.segment_format import HEADER_BYTES
from headrace.producer.spool.separate_queue import SeparateQueue
from headrace.producer.spool.spool_queue import SpoolQueue
from headrace.producer.spool.tail_queue import TailQueue, take


def writer(spool: Path, clock: Clock, **more: Any) -> SeparateQueue:
    """The queue of a process that ships nothing itself."""
    return SeparateQueue(
        spool, service="web", host="h1", session_id=os.urandom(16), limits=SMALL,
        clock_ns=clock.ns, monotonic=clock.monotonic, **more,
    )  # fmt: skip


def tail(folder: Path, clock: Clock) -> TailQueue:
    taken = take(folder)
    assert taken is not None
    owned, alive = taken
    return TailQueue(owned, alive=alive, limits=SMALL, clock_ns=clock.ns, monotonic=clock.monotonic)


def read(queue: TailQueue, clock: Clock) -> list[Record]:
    """Read and acknowledge what is there now, as a ship process that looks again and again."""
    found: list[Record] = []
    for _ in range(3):
        clock.seconds += 0.02
        while batch := queue.read(50):
            found += [each for _, each in batch]
            for position, _ in batch:
                queue.ack(position)
    return found


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.seg"))


def test_what_a_living_process_appends_is_read_at_once(tmp_path: Path) -> None:
    """Across many segments, in order, while the process goes on; what is done is removed, never the newest segment."""
    clock = Clock()
    made = writer(tmp_path, clock)
    left = tail(made.folder, clock)
    assert left.alive
    found = []
    for number in range(3000):
        assert made.append(record(number))
        if number % 100 == 0:
            made.tend()
            found += read(left, clock)
            clock.seconds += 1
            left.tend()
    found += read(left, clock)
    assert found == [as_read(number) for number in range(3000)]
    clock.seconds += 2
    left.tend()
    made.tend()
    assert len(segments(made.folder)) == 1
    assert made.depth() == (0, 0)
    assert made.lowest_unacked() == 3000
    assert not left.drained


def test_a_dead_process_leaves_an_orphan_that_is_removed(tmp_path: Path) -> None:
    """Once its process has ended, the rest is read, and the folder goes with the tail's close()."""
    clock = Clock()
    made = writer(tmp_path, clock)
    left = tail(made.folder, clock)
    for number in range(10):
        assert made.append(record(number))
    assert len(read(left, clock)) == 10
    assert made.append(record(10))
    made.close()
    assert made.folder.exists()
    clock.seconds += 1
    assert read(left, clock) == [as_read(10)]
    clock.seconds += 1
    assert read(left, clock) == []
    assert left.drained
    left.close()
    assert list((tmp_path / "web").iterdir()) == []


def test_the_next_ship_begins_at_the_cursor(tmp_path: Path) -> None:
    """What one ship process acknowledged, the next does not send again; it learns the schemas that stand before."""
    clock = Clock()
    made = writer(tmp_path, clock)
    for number in range(20):
        assert made.append(record(number))
    first = tail(made.folder, clock)
    assert len(read(first, clock)) == 20
    first.close()
    assert made.append(record(20))
    found = read(tail(made.folder, clock), clock)
    assert found == [as_read(20)]


def test_a_write_of_this_moment_is_waited_for(tmp_path: Path) -> None:
    """Half a record at the end of a living process's segment is neither a record nor damage; whole, it is read."""
    clock = Clock()
    made = writer(tmp_path, clock)
    assert made.append(record(0))
    begin = made._segment.tail[0]
    assert made.append(record(1))
    end = made._segment.tail[0]
    path = made.folder / segments(made.folder)[0]
    whole = path.read_bytes()[begin:end]
    left = tail(made.folder, clock)
    for cut in (1, 3, 4, 9, 40, len(whole) - 1):
        put(path, begin, whole[:cut] + bytes(len(whole) - cut))
        assert read(left, clock) == ([as_read(0)] if cut == 1 else [])
        clock.seconds += 0.4
    put(path, begin, whole)
    assert read(left, clock) == [as_read(1)]
    assert (left.losses, left._reader and left._reader.holes) == ({}, 0)


def test_a_torn_write_of_a_dead_process_is_cut(tmp_path: Path) -> None:
    """The same bytes, once the process is dead, are a torn tail: the folder is drained without it."""
    clock = Clock()
    made = writer(tmp_path, clock)
    assert made.append(record(0))
    put(made.folder / segments(made.folder)[0], made._segment.tail[0], b"\xf5\x52\xb1\xc8 half a record")
    left = tail(made.folder, clock)
    assert read(left, clock) == [as_read(0)]
    made.close()
    clock.seconds += 1
    assert read(left, clock) == []
    assert left.drained
    assert left._reader is not None
    assert (len(left._reader.torn_ends), left.losses) == (1, {})


@pytest.mark.parametrize("damage", [b"\xff" * 30, bytes(60)], ids=["flipped", "zeroed"])
def test_damage_in_a_living_segment_is_passed_over_and_counted(tmp_path: Path, damage: bytes) -> None:
    """A bad record with good ones behind it is damage, but only when it stays so: then it is one event lost."""
    clock = Clock()
    made = writer(tmp_path, clock)
    places = []
    for number in range(5):
        places.append(made._segment.tail[0])
        assert made.append(record(number))
    path = made.folder / segments(made.folder)[0]
    put(path, places[2] + (0 if damage[0] == 0 else 20), damage)
    left = tail(made.folder, clock)
    assert read(left, clock) == [as_read(0), as_read(1)]
    assert left.losses == {}
    found = []
    for _ in range(200):
        clock.seconds += 0.5
        found += read(left, clock)
    assert found == [as_read(3), as_read(4)]
    assert left.losses == {"damaged": 1}


def test_bytes_that_come_late_are_no_damage(tmp_path: Path) -> None:
    """A record that is seen after the one behind it, as another processor may see it, is still read."""
    clock = Clock()
    made = writer(tmp_path, clock)
    places = []
    for number in range(4):
        places.append(made._segment.tail[0])
        assert made.append(record(number))
    path = made.folder / segments(made.folder)[0]
    whole = path.read_bytes()[places[1] : places[2]]
    put(path, places[1], bytes(len(whole)))
    left = tail(made.folder, clock)
    assert read(left, clock) == [as_read(0)]
    put(path, places[1], whole[:30])
    clock.seconds += 0.3
    assert read(left, clock) == []
    put(path, places[1], whole)
    clock.seconds += 0.3
    assert read(left, clock) == [as_read(1), as_read(2), as_read(3)]


def put(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_any_prefix_of_what_is_written_reads_as_whole_records(tmp_path: Path) -> None:
    """Segments that grow by random pieces, looked at between any two: each record once, in order, none damaged."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    clock = Clock()
    source = writer(tmp_path / "source", clock)
    for number in range(1500):
        assert source.append(record(number, size=chance.choice([0, 1, 50, 3000])))
    expected = _all(source.folder, clock)
    assert len(expected) == 1500
    target = writer(tmp_path / "target", clock)
    target._segment.path.unlink()
    folder = target.folder
    named = source.folder.rename(folder.parent / "kept")
    folder = folder.rename(folder.parent / source.folder.name)  # the CRCs go by the name
    left: TailQueue | None = None
    found: list[Record] = []
    for path in sorted(named.glob("*.seg")):
        data, at = path.read_bytes(), HEADER_BYTES
        (folder / path.name).write_bytes(data[:at] + bytes(len(data) - at))
        while at < len(data):
            left = left or tail(folder, clock)
            piece = chance.choice([1, 3, 100, 10_000])
            put(folder / path.name, at, data[at : at + piece])
            at += piece
            if data.count(0, at) == len(data) - at:
                at = len(data)
            if chance.random() < 0.3:
                found += read(left, clock)
    assert left is not None
    found += read(left, clock)
    assert found == expected
    assert left.losses == {}
    assert left._reader is not None
    assert left._reader.holes == 0


def _all(folder: Path, clock: Clock) -> list[Record]:
    reader = tail(folder, clock)
    found = read(reader, clock)
    reader._owned.release()
    (folder / "cursor").unlink(missing_ok=True)
    return found


def test_one_delivers_and_nobody_else(tmp_path: Path) -> None:
    """A folder has one who delivers it: a second ship, and an adopter of the dead process's folder, get nothing."""
    clock = Clock()
    made = writer(tmp_path, clock)
    assert made.append(record(0))
    first = tail(made.folder, clock)
    assert take(made.folder) is None
    made.close()
    assert take(made.folder) is None
    assert ownership.adopt(made.folder) is None
    first.close()
    owned = ownership.adopt(made.folder)
    assert owned is not None
    assert take(made.folder) is None
    owned.release()


def test_who_ships_itself_is_left_alone(tmp_path: Path) -> None:
    """The folder of a living process that ships its own events has no ship lock, and is not taken; dead, it is."""
    clock = Clock()
    made = SpoolQueue(
        tmp_path, service="web", host="h1", session_id=os.urandom(16), limits=SMALL,
        clock_ns=clock.ns, monotonic=clock.monotonic,
    )  # fmt: skip
    assert made.append(record(0))
    assert take(made.folder) is None
    made._own.owned.release()
    left = tail(made.folder, clock)
    assert not left.alive
    assert read(left, clock) == [as_read(0)]


def test_an_append_that_was_interrupted_is_not_overwritten(tmp_path: Path) -> None:
    """A record that is in the file, and was not counted when an interrupt came, keeps its place: it may be sent."""
    clock = Clock()
    made = writer(tmp_path, clock)
    assert made.append(record(0))
    before = made._segment.tail
    assert made.append(record(1))
    made._segment.tail = before  # as if KeyboardInterrupt had come between the copy and the count
    left = tail(made.folder, clock)
    assert read(left, clock) == [as_read(0), as_read(1)]
    assert made.append(record(2))
    assert made.appended == 3
    assert read(left, clock) == [as_read(2)]


def test_a_folder_removed_and_made_anew_is_followed(tmp_path: Path) -> None:
    """Whoever followed the old one writes nothing into the new one of the same name; the new one is delivered from its
    own beginning, and the loss is counted once: by the process that appended."""
    clock = Clock()
    made = writer(tmp_path, clock)
    left = tail(made.folder, clock)
    for number in range(10):
        assert made.append(record(number))
    assert len(left.read(3)) == 3  # and the cursor never gets further
    shutil.rmtree(made.folder)
    clock.seconds += 2
    made.tend()
    assert left.gone
    left.close()
    for number in range(10, 2000):
        assert made.append(record(number))
    assert not (made.folder / "cursor").exists()
    again = tail(made.folder, clock)
    assert read(again, clock) == [as_read(number) for number in range(10, 2000)]
    clock.seconds += 2
    again.tend()
    made.tend()
    assert (dict(made.losses), dict(again.losses)) == ({"unreadable": 10}, {})
    assert (made.delivered, made.depth()) == (1990, (0, 0))
