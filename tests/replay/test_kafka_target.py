"""Whether a target fits, decided from facts: without Kafka."""

import os
from dataclasses import replace
from typing import Any

import pytest
from small_archive import NOV_23_MS, Rec, SmallArchive, batch_of

from headrace.replay import TargetUnfit, open_reading
from headrace.replay.kafka_target import Allowances, Target, check_records, check_target

FITS = Target(
    topic="t",
    topic_id="T",
    cluster_id="C",
    ranges={0: (0, 0), 1: (0, 0)},
    log_append_time=False,
    compacted=False,
    max_message_bytes=1_048_588,
    retention_ms=-1,
    before_max_ms=2**63 - 1,
    after_max_ms=3_600_000,
)


def check(record: Rec, target: Target = FITS, allow: Allowances | None = None, now_ms: int = NOV_23_MS) -> None:
    check_records(target, batch_of([Rec(0, 1), record]), allow or Allowances(), now_ms)


def test_a_target_whose_records_were_all_deleted_is_empty() -> None:
    """Emptiness is about records, not about offsets."""
    assert replace(FITS, ranges={0: (7, 7)}).empty
    assert not replace(FITS, ranges={0: (6, 7)}).empty


def test_a_replay_that_goes_on_may_find_its_own_records() -> None:
    """A target that is not empty is refused to a new replay only."""
    archive = SmallArchive()
    archive.commit([Rec(1, 0)])
    plan = open_reading(archive.store, "pin").plan
    filled = replace(FITS, ranges={0: (0, 0), 1: (0, 9)})
    check_target(filled, plan, Allowances(), resuming=True, now_ms=NOV_23_MS)
    with pytest.raises(TargetUnfit, match="up to 9 records"):
        check_target(filled, plan, Allowances(), resuming=False, now_ms=NOV_23_MS)


@pytest.mark.parametrize(
    "record",
    [
        Rec(0, 7, os.urandom(1_100_000)),
        Rec(0, 7, None, os.urandom(1_100_000)),
        Rec(0, 7, b"", None, headers=[("h", os.urandom(600_000)), ("h", os.urandom(600_000))]),
    ],
)
def test_value_key_and_headers_count_towards_the_size(record: Rec) -> None:
    """The error names the record and a size that would do."""
    with pytest.raises(TargetUnfit, match=r"partition 0, offset 7 has 1[12]\d{5} bytes"):
        check(record)


def test_the_overhead_of_a_record_counts_too() -> None:
    """A record that is just as large as the limit does not fit."""
    with pytest.raises(TargetUnfit, match=r"max\.message\.bytes"):
        check(Rec(0, 7, os.urandom(1_048_500)))


def test_what_compresses_below_the_limit_fits() -> None:
    """As the broker sees it."""
    check(Rec(0, 7, b"x" * 5_000_000))


@pytest.mark.parametrize(
    ("limits", "timestamp", "hint"),
    [
        ({}, NOV_23_MS + 3_600_001, "ahead of now"),
        ({"before_max_ms": 1000}, NOV_23_MS - 1001, "1 s ago"),
        ({"retention_ms": 1000}, NOV_23_MS - 1001, "--allow-short-retention"),
    ],
)
def test_timestamps_that_the_target_would_not_keep(limits: dict[str, Any], timestamp: int, hint: str) -> None:
    """Too far ahead, too old to be taken, too old to stay."""
    with pytest.raises(TargetUnfit, match=hint):
        check(Rec(0, 7, timestamp=timestamp), replace(FITS, **limits))


def test_no_timestamp_is_never_too_old() -> None:
    """-1 means none, and clients send it as it is."""
    check(Rec(0, 7, timestamp=-1), replace(FITS, retention_ms=1000, before_max_ms=1000))


def test_timestamp_zero_is_refused_unless_allowed() -> None:
    """Clients would send the time of sending in its place."""
    with pytest.raises(TargetUnfit, match=r"offset 7 has timestamp 0.*--allow-timestamp-zero"):
        check(Rec(0, 7, timestamp=0))
    check(Rec(0, 7, timestamp=0), replace(FITS, retention_ms=1000), Allowances(timestamp_zero=True))


def test_a_target_that_sets_timestamps_itself_takes_any() -> None:
    """Where that was allowed, the records' own timestamps do not matter."""
    target = replace(FITS, log_append_time=True, retention_ms=1000)
    check(Rec(0, 7, timestamp=NOV_23_MS + 10**9), target, Allowances(log_append_time=True))
