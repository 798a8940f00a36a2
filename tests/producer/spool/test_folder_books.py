"""The books of a folder: what is told of a damaged end, of topics without events, and where telling fails."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from spool_kit import Clock, die, orphan, queue

from headrace.producer.auditing import Account, AuditSettings, audit_event
from headrace.producer.record import Record
from headrace.producer.spool.folder_books import FILE, FolderBooks, read_books
from headrace.producer.spool.orphan_queue import OrphanQueue
from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.event import Envelope
from headrace.schemas.events import Audit


def event(topic: str, seq: int) -> Record:
    return Record(topic, b"k", b"\xc3\x01FINGERPR" + b"%05d" % seq, 5, seq, "{}", "pin")


class Told:
    """Takes audit events, as long as there is room."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.room = True

    def put(self, told: Audit) -> bool:
        if self.room:
            self.events.append(told.as_dict())
        return self.room

    def of(self, topic: str) -> dict[str, Any]:
        """The last account of a topic, its ranges as one list."""
        last = [each for each in self.events if each["about_topic"] == topic][-1]
        ranges = zip(last["lost_from"], last["lost_to"], last["lost_reason"], strict=True)
        return {**last, "lost": list(ranges)}


def drained(left: OrphanQueue, told: Told) -> OrphanQueue:
    """Deliver all that is left, and close."""
    clock = Clock()
    books = FolderBooks(left, told.put, settings=AuditSettings(), clock_ns=clock.ns, monotonic=clock.monotonic)
    while batch := books.counted.read(3):
        for position, _ in batch:
            books.counted.ack(position)
    books.counted.close()
    return left


def left_behind(spool: Path, *numbers: tuple[str, int]) -> tuple[Path, Path, int]:
    """What a killed process leaves: its folder, its segment, and where the last event begins there."""
    made = queue(spool)
    for topic, seq in numbers[:-1]:
        assert made.append(event(topic, seq))
    begins = made._segment.tail[0]
    assert made.append(event(*numbers[-1]))
    return die(made), made._segment.path, begins


def cut(path: Path, at: int, *, keep: int, flip: int | None = None) -> None:
    """Leave only `keep` bytes of what is written from `at` on; flip a bit of one of them."""
    data = bytearray(path.read_bytes())
    data[at + keep :] = bytes(len(data) - at - keep)
    if flip is not None:
        data[at + flip] ^= 1
    path.write_bytes(data)


NUMBERS = [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize(("keep", "flip"), [(60, None), (100, 60)])
def test_a_damaged_event_is_named_by_its_head(tmp_path: Path, keep: int, flip: int | None) -> None:
    """The last event is half written, or a bit of its body flipped: the number that its head tells is lost as torn, and
    nothing else is said to be."""
    folder, path, begins = left_behind(tmp_path, *NUMBERS)
    cut(path, begins, keep=keep, flip=flip)
    told = Told()
    assert drained(orphan(folder), told).removed
    assert (told.of("a")["lost"], told.of("a")["last_seq"]) == ([(3, 3, "torn")], 3)
    assert (told.of("b")["lost"], told.of("b")["last_seq"]) == ([], 1)
    assert [each["dropped_elsewhere"] for each in told.events] == [{}, {}]


@pytest.mark.parametrize(
    ("last", "keep", "flip"),
    [
        pytest.param(("a", 3), 40, None, id="half a head"),
        pytest.param(("a", 3), 100, 0, id="no head"),
        pytest.param(("a", 3), 100, 10, id="a length that leads nowhere"),
        pytest.param(("a", 3), 100, 20, id="another position"),
        pytest.param(("a", 3), 100, 38, id="another number"),
        pytest.param(("a", 3), 100, 52, id="another topic"),
        pytest.param(("a", 4), 60, None, id="a number that is not the next"),
        pytest.param(("new", 1), 60, None, id="the first of a topic"),
    ],
)
def test_a_head_that_cannot_be_believed_names_nothing(
    tmp_path: Path, last: tuple[str, int], keep: int, flip: int | None
) -> None:
    """Where the head of the damaged event does not carry on what was read, the end is told as torn, without a number:
    never a number that may be another's."""
    folder, path, begins = left_behind(tmp_path, *NUMBERS[:-1], last)
    cut(path, begins, keep=keep, flip=flip)
    told = Told()
    assert drained(orphan(folder), told).removed
    assert [tuple(each["lost_from"]) for each in told.events] == [(), ()]
    assert [each["dropped_elsewhere"] for each in told.events] == [{"torn": 1}] * 2


def test_a_topic_without_events_closes_too(tmp_path: Path) -> None:
    """A session that had every event of a topic refused tells so by itself; who finds that in its folder, and no event
    of the topic, closes the account once all is delivered. What is said of other sessions is not taken for it."""
    made = queue(tmp_path)
    envelope = Envelope(service="web", host="h1", session_id=made._session_id)
    for about, topic in ((made._session_id, "feed_load"), (bytes(16), "login")):
        said = audit_event(
            about, topic, Account(9, 0, 0, 0, {"shed": 9}), reporter="OWN", closed=False, durability="DISK", since_us=0,
            first_seq=1, elsewhere={}, seconds=1.0,
        )  # fmt: skip
        value = said.kafka_value(envelope, bytes(16), 1, 0, None)
        assert made.append(Record(AUDIT_TOPIC, b"k", value, 5, 1, said.SCHEMA, "audit"))
    assert made.append(event("pin", 1))
    told = Told()
    drained(orphan(die(made)), told)
    closed = {each["about_topic"]: (each["closed"], each["last_seq"]) for each in told.events}
    assert closed == {"pin": (True, 1), "feed_load": (True, 0)}


def test_a_folder_stays_until_its_account_is_safe(tmp_path: Path) -> None:
    """Where there is no room for the last account, the folder's segments go and its books stay: the next one that finds
    room tells all of it."""
    folder, path, begins = left_behind(tmp_path, *NUMBERS)
    cut(path, begins, keep=60)
    told = Told()
    told.room = False
    left = drained(orphan(folder), told)
    assert (left.removed, left.drained, told.events) == (False, True, [])
    assert list(folder.glob("*.seg")) == []
    told.room = True
    assert drained(orphan(folder), told).removed
    assert not folder.exists()
    assert told.of("a")["lost"] == [(3, 3, "torn")]
    assert (told.of("a")["accepted"], told.of("a")["acked"], told.of("a")["closed"]) == (2, 2, True)


def test_books_that_were_left_behind_are_not_believed(tmp_path: Path) -> None:
    """Somebody who keeps no books moved the cursor on since: what was delivered meanwhile is not taken for lost."""
    made = queue(tmp_path)
    for seq in range(1, 7):
        assert made.append(event("a", seq))
    folder, clock, told = die(made), Clock(), Told()
    for reading, audited in ((2, True), (3, False)):
        left = orphan(folder)
        reader: Any = left
        if audited:
            reader = FolderBooks(
                left, told.put, settings=AuditSettings(), clock_ns=clock.ns, monotonic=clock.monotonic
            ).counted
        for position, _ in reader.read(reading):
            reader.ack(position)
        reader.close()
    books = read_books(folder)
    assert books is not None
    assert books["counted"]["done"] == 2
    drained(orphan(folder), told)
    assert (told.of("a")["dropped"], told.of("a")["last_seq"], told.of("a")["lost"]) == ({}, 6, [])


@pytest.mark.parametrize("text", ["", "{}", '{"version":1} 00000000', "\0\0", "{} " + format(zlib.crc32(b"{}"), "08x")])
def test_books_that_are_damaged_are_none(tmp_path: Path, text: str) -> None:
    """Books whose checksum does not fit, or of another version, are as none at all."""
    (tmp_path / FILE).write_text(text)
    assert read_books(tmp_path) is None
    newer = json.dumps({"version": 2})
    (tmp_path / FILE).write_text(f"{newer} {zlib.crc32(newer.encode()):08x}")
    assert read_books(tmp_path) is None
