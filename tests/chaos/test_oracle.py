"""The judge of the chaos runs judges: it finds each kind of wrong, on small archives that the production code wrote."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from kafka_oracle import Seen, TopicView
from small_archive import NOV_23_MS, TOPIC_ID, Rec, SmallArchive, pin_value

from chaos.journal_producer import Acked, hash_of
from chaos.oracle import Archive, InjectedGap, Verdict, judge
from headrace.archiver.log_entries import Gap


class _FakeS3:
    """What the judge asks of boto3's client, over a dict."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert Bucket == "b"
        body = self.objects.get(Key.removeprefix("p/"))
        if body is None:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(body)}

    def get_paginator(self, _name: str) -> "_FakeS3":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's names
        assert Bucket == "b"
        yield {"Contents": [{"Key": f"p/{key}"} for key in self.objects if f"p/{key}".startswith(Prefix)]}


class _Case:
    """Four records of partition 0, and offsets 4 and 5 lost to retention: archived, journalled, and in Kafka."""

    def __init__(self) -> None:
        self.made = SmallArchive()
        self.made.commit([Rec(0, offset, pin_value(offset)) for offset in range(3)])
        self.made.commit([], gaps={0: [Gap(3, 5, "retention")]}, ends={0: 5})
        self.made.commit([Rec(0, 5, pin_value(5))])
        self.offsets = [*range(6)]
        self.values = {offset: pin_value(offset) for offset in self.offsets}
        self.kafka = {offset: pin_value(offset) for offset in (5,)}
        self.injected = [InjectedGap(TOPIC_ID, 0, 3, 3, 5, "retention")]

    def verdict(self) -> Verdict:
        acked = Acked()
        for offset in self.offsets:
            acked.offsets.append(offset)
            acked.hashes += hash_of(self.values[offset])
        records = {(0, offset): Seen(0, offset, NOV_23_MS, 0, None, value, ()) for offset, value in self.kafka.items()}
        return judge(
            Archive(_FakeS3(self.made.memory.objects), "b", "p"),  # type: ignore[arg-type]  # as much as it asks for
            "pin",
            {(TOPIC_ID, 0): acked},
            gave_up=0,
            injected=self.injected,
            kafka=TopicView(records, {0: 5}, {0: 6}),
            topic_id=TOPIC_ID,
        )


def test_a_good_archive_is_good() -> None:
    """All events are there or in the gap that was made: nothing to complain of."""
    found = _Case().verdict()
    assert found.good, found.odd
    assert (found.acknowledged, found.archived, found.in_gaps, found.gaps_recorded) == (6, 4, 2, 1)


def test_a_record_that_is_nowhere_is_lost() -> None:
    """An acknowledged offset without a row and outside of every gap."""
    case = _Case()
    case.offsets.append(6)
    case.values[6] = pin_value(6)
    assert (case.verdict().lost, case.verdict().good) == (1, False)


def test_another_value_is_wrong() -> None:
    """The row is there, with other bytes than were acknowledged."""
    case = _Case()
    case.values[2] = pin_value(3)
    assert (case.verdict().wrong, case.verdict().good) == (1, False)


def test_a_row_that_nobody_acknowledged_is_odd() -> None:
    """The archive holds more than was produced."""
    case = _Case()
    case.offsets.remove(1)
    assert any("never acknowledged" in text for text in case.verdict().odd)


def test_a_gap_that_nobody_made_is_odd() -> None:
    """A gap is an excuse only for what was really taken away."""
    case = _Case()
    case.injected = []
    assert any("not injected" in text for text in case.verdict().odd)


def test_a_gap_that_was_made_and_is_not_recorded_is_odd() -> None:
    """The end is exact, and the beginning lies where it can."""
    case = _Case()
    case.injected = [replace(case.injected[0], end=6)]
    assert any("not recorded" in text for text in case.verdict().odd)


def test_what_kafka_still_has_must_be_archived_as_it_is() -> None:
    """Key, value, headers and timestamp, of all that a consumer can still read."""
    case = _Case()
    case.kafka[5] = pin_value(4)
    assert any("archive and Kafka differ" in text for text in case.verdict().odd)


def test_a_file_that_no_entry_names_is_left_over() -> None:
    """Plain readers would count its rows twice."""
    case = _Case()
    case.made.memory.objects["data/topic=pin/dt=2026-11-23/other.parquet"] = b""
    assert any("left over" in text for text in case.verdict().odd)


def test_a_file_whose_bytes_changed_is_noticed() -> None:
    """Size and hash are compared with the log before anything is read."""
    case = _Case()
    key = next(key for key in case.made.memory.objects if key.startswith("data/"))
    case.made.memory.objects[key] += b"x"
    with pytest.raises(AssertionError, match="data/"):
        case.verdict()


def test_a_log_with_a_changed_entry_is_noticed() -> None:
    """Each entry names the hash of the one before."""
    case = _Case()
    key = min(key for key in case.made.memory.objects if key.startswith("log/"))
    case.made.memory.objects[key] = case.made.memory.objects[key].replace(b"test:1:0", b"test:1:1")
    with pytest.raises(AssertionError, match="slot 2"):
        case.verdict()
