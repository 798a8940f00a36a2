"""Books by topic of what is read from a queue, and the ledger of numbers that will not arrive."""

from pathlib import Path

import pytest
from spool_kit import SMALL, Clock, die, orphan, queue

from headrace.producer.counted_queue import CountedQueue
from headrace.producer.ledger import Ledger, Lost
from headrace.producer.record import Record
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.orphan_queue import OrphanQueue

Told = list[tuple[str, int, int, str]]


def event(topic: str, seq: int) -> Record:
    return Record(topic, b"k", b"\xc3\x01FINGERPR" + b"%05d" % seq, 5, seq, "{}", "pin")


def left_behind(spool: Path, *events: tuple[str, int]) -> Path:
    """What a killed process leaves that was given these numbers."""
    made = queue(spool)
    for topic, seq in events:
        assert made.append(event(topic, seq))
    return die(made)


def drained(left: OrphanQueue) -> tuple[CountedQueue, Told]:
    told: Told = []
    counted = CountedQueue(
        left, lambda *lost: told.append(lost), before=left.numbers_before(), next_position=left.next_position
    )
    while batch := counted.read(3):
        for position, _ in batch:
            counted.ack(position)
    assert left.drained
    left.close()
    return counted, told


def test_numbers_that_are_missing_between_neighbours_were_never_accepted(tmp_path: Path) -> None:
    """Two events that lie side by side in the spool had nothing between them: the numbers in between were refused."""
    counted, told = drained(orphan(left_behind(tmp_path, ("a", 1), ("b", 1), ("a", 4), ("b", 2), ("a", 5))))
    assert told == [("a", 2, 3, "not_accepted")]
    assert counted.last_seqs == {"a": 5, "b": 2}
    assert (counted.acked, counted.waiting, counted.seen) == ({"a": 3, "b": 2}, {}, {"a": 3, "b": 2})


def test_damage_between_them_is_damage(tmp_path: Path) -> None:
    """Numbers that are missing around a damaged place are damaged, in the topics that have a hole there only."""
    folder = left_behind(tmp_path, ("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4), ("a", 6))
    path = folder / "000000000000.seg"
    data = bytearray(path.read_bytes())
    for seq in (2, 3):
        at = data.index(event("a", seq).value, data.index(event("b", 1).value) + 1)
        data[at] ^= 1
    path.write_bytes(data)
    _, told = drained(orphan(folder))
    assert told == [("a", 2, 3, "damaged"), ("a", 5, 5, "not_accepted")]


def test_expired_events_are_known_by_number(tmp_path: Path) -> None:
    """What is too old is named, also when nothing else is left of the session."""
    folder, clock = left_behind(tmp_path, ("a", 1), ("b", 1), ("a", 3)), Clock()
    clock.seconds += 100
    limits = SpoolLimits(bytes_max=SMALL.bytes_max, segment_bytes=SMALL.segment_bytes, age_s_max=50)
    counted, told = drained(orphan(folder, clock, limits))
    assert told == [("a", 1, 1, "expired"), ("b", 1, 1, "expired"), ("a", 2, 2, "not_accepted"), ("a", 3, 3, "expired")]
    assert counted.last_seqs == {"a": 3, "b": 1}


def test_what_was_delivered_before_is_not_missing(tmp_path: Path) -> None:
    """An adopter begins where the cursor stands, and knows from what lies before it which numbers came last."""
    clock = Clock()
    made = queue(tmp_path, clock)
    for seq in range(1, 6):
        made.append(event("a", seq))
    for position, _ in made.read(3):
        made.ack(position)
    clock.seconds += 2
    made.tend()
    made.append(event("a", 9))
    counted, told = drained(orphan(die(made)))
    assert told == [("a", 6, 8, "not_accepted")]
    assert (counted.last_seqs, counted.seen) == ({"a": 9}, {"a": 3})


def test_reading_again_counts_once(tmp_path: Path) -> None:
    """After a rewind the same events come again, and the books stay as they were."""
    left, told = orphan(left_behind(tmp_path, ("a", 1), ("a", 2))), Told()
    counted = CountedQueue(left, lambda *lost: told.append(lost), before={}, next_position=0)
    assert len(counted.read(10)) == 2
    counted.rewind()
    again = counted.read(10)
    for position, _ in again:
        counted.ack(position)
    assert (counted.seen, counted.acked, told) == ({"a": 2}, {"a": 2}, [])
    left.close()


def test_a_refused_record_is_not_acknowledged(tmp_path: Path) -> None:
    """The shipper takes a record that Kafka refuses off the queue: that is no delivery."""
    left, told = orphan(left_behind(tmp_path, ("a", 1), ("a", 2))), Told()
    counted = CountedQueue(left, lambda *lost: told.append(lost), before={}, next_position=0)
    for position, record in counted.read(10):
        if record.seq == 2:
            counted.refuse(record)
        counted.ack(position)
    assert (counted.acked, told) == ({"a": 1}, [("a", 2, 2, "refused")])
    left.close()


def test_ones_own_queue_tells_of_losses_only(tmp_path: Path) -> None:
    """A process knows what it refused itself, so that only numbers lost in its spool are told of."""
    clock, told = Clock(), Told()
    limits = SpoolLimits(bytes_max=SMALL.bytes_max, segment_bytes=SMALL.segment_bytes, age_s_max=50, free_bytes_min=0)
    made = queue(tmp_path, clock, limits)
    counted = CountedQueue(made, lambda *lost: told.append(lost))
    made.append(event("a", 1))
    made.append(event("a", 5))
    assert len(counted.read(10)) == 2
    assert told == []
    clock.seconds += 100
    counted.rewind()
    assert counted.read(10) == []
    assert told == [("a", 1, 1, "expired"), ("a", 5, 5, "expired")]
    assert counted.waiting == {}
    made.close()


def test_the_ledger_joins_neighbours_and_is_bounded() -> None:
    """Neighbours with one reason are one range; beyond its bound the ledger goes on counting."""
    ledger = Ledger(ranges_max=2)
    for first, last, reason in ((1, 1, "full"), (2, 3, "full"), (4, 4, "shed"), (7, 7, "shed")):
        ledger.add("a", first, last, reason)
    assert ledger.counts == {"a": {"full": 3, "shed": 2}}
    taken = ledger.take("a", 1)
    assert taken == [Lost(1, 3, "full")]
    ledger.put_back("a", taken)
    assert ledger.take("a", 9) == [Lost(1, 3, "full"), Lost(4, 4, "shed")]
    assert ledger.take("a", 9) == []


@pytest.mark.parametrize("topic", ["a", "b"])
def test_the_ledger_of_a_topic_without_losses_is_empty(topic: str) -> None:
    """Nothing entered, nothing taken."""
    assert Ledger().take(topic, 5) == []
