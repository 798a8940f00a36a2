"""When data would be lost, and when the archive has caught up: never later than the truth, never NaN."""

import math

from hypothesis import given
from hypothesis import strategies as st
from lag_facts import NOW_MS, facts, judged

from headrace.archiver.kafka_admin import FirstRecord, LogEnds
from headrace.archiver.oncall.facts import Rates, Retention
from headrace.archiver.oncall.kafka_questions import rates_of, retention_of
from headrace.archiver.oncall.loss import Loss, catching_up, loss_of

HOUR_MS = 3_600_000


def test_time_counts_from_the_first_unarchived_record() -> None:
    """Written 20 minutes ago, kept for an hour: 40 minutes are left."""
    first = FirstRecord(NOW_MS - HOUR_MS // 3)
    lag = judged(durable=4, first=first, retention=Retention(HOUR_MS, None))
    assert lag.loss == Loss(2400.0, "time")


def test_what_is_overdue_is_zero_and_not_negative() -> None:
    """Kafka looks every few minutes: the record may be gone at any moment."""
    lag = judged(durable=4, first=FirstRecord(NOW_MS - 2 * HOUR_MS), retention=Retention(HOUR_MS, None))
    assert lag.loss == Loss(0.0, "time")


def test_bytes_count_at_the_highest_rate_of_the_last_hour() -> None:
    """1,000 offsets of 10 bytes, 600 of them behind; room for 9,000 bytes, filled at 10 records a second."""
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 10_000, "rates": Rates(1.0, 10.0)}
    lag = judged(durable=400, first=FirstRecord(NOW_MS - HOUR_MS), retention=Retention(None, 9_000), **known)
    assert lag.loss == Loss(30.0, "bytes")


def test_bytes_count_at_the_rate_since_the_first_record_of_a_new_topic() -> None:
    """600 records in 20 seconds are 30 a second, whatever the last hour's buckets make of it; one batch is no rate."""
    now = {"ends_ms": NOW_MS}
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 10_000, "rates": Rates(1.0, 10.0)}
    since = {"durable": 400, "retention": Retention(None, 9_000), **known}
    assert judged(first=FirstRecord(NOW_MS - 20_000), **since, **now).loss == Loss(10.0, "bytes")
    assert judged(first=FirstRecord(NOW_MS - 2_000), **since, **now).loss == Loss(1.0, "bytes")
    assert judged(first=FirstRecord(NOW_MS), **since, **now).loss == Loss(0.5, "bytes")


def test_what_was_written_while_it_was_asked_counts() -> None:
    """The ends are of two seconds ago: so much sooner is the room filled."""
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 10_000, "rates": Rates(1.0, 10.0)}
    since = {"durable": 400, "retention": Retention(None, 9_000), **known}
    first = FirstRecord(NOW_MS - HOUR_MS)
    assert judged(first=first, ends_ms=NOW_MS - 2000, **since).loss == Loss(28.0, "bytes")
    assert judged(first=first, ends_ms=NOW_MS - 200_000, **since).loss == Loss(0.0, "bytes")


def test_what_was_deleted_while_it_was_asked_does_not_make_records_smaller() -> None:
    """A tenth of the log went between two questions: 900 offsets have 9,000 bytes, ten each and not nine."""
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 9_000, "rates": Rates(1.0, 10.0)}
    since = {"durable": 400, "first": FirstRecord(NOW_MS - HOUR_MS), "retention": Retention(None, 9_000), **known}
    assert judged(size_start=100, **since).loss == Loss(30.0, "bytes")
    assert judged(size_start=1000, **since).loss == Loss(0.0, "bytes")


def test_the_nearer_bound_is_named() -> None:
    """Both bounds hold; what comes first counts."""
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 10_000, "rates": Rates(1.0, 10.0)}
    lag = judged(durable=400, first=FirstRecord(NOW_MS - HOUR_MS + 5000), retention=Retention(HOUR_MS, 9_000), **known)
    assert lag.loss == Loss(5.0, "time")


def test_a_topic_that_nobody_writes_to_loses_nothing_by_bytes() -> None:
    """Nothing is pushed out by nothing."""
    known = {"ends": LogEnds(0, 1000, 1000), "size_bytes": 10_000, "rates": Rates(0.0, 0.0)}
    assert judged(durable=400, retention=Retention(None, 9_000), **known).loss == Loss(None, "nothing")


def test_without_bounds_nothing_is_lost_and_without_facts_nothing_is_claimed() -> None:
    """For ever is not "unknown", and unknown is not "for ever"."""
    assert judged(durable=4, retention=Retention(None, None)).loss == Loss(None, "nothing")
    assert judged(durable=4).loss == Loss(None, "unknown")
    assert judged(durable=4, retention=Retention(HOUR_MS, None)).loss == Loss(None, "unknown")
    assert judged(durable=4, retention=Retention(None, 9_000)).loss == Loss(None, "unknown")
    assert judged(durable=4, retention=Retention(HOUR_MS, None, deletes=False, compacts=True)).loss.by == "compaction"


def test_what_is_archived_cannot_be_lost() -> None:
    """A caught-up partition has no seconds to loss, however short the retention."""
    lag = judged(retention=Retention(1, None))
    assert (lag.loss, lag.catch_up.when) == (Loss(None, "nothing"), "done")


@given(
    st.integers(-1, 2 * NOW_MS),
    st.integers(0, 10**15),
    st.one_of(st.none(), st.integers(0, 10**15)),
    st.one_of(st.none(), st.integers(0, 10**15)),
    st.floats(0, 1e9),
)
def test_seconds_are_numbers_that_people_can_read(
    timestamp: int, ms: int, size: int | None, size_max: int | None, rate: float
) -> None:
    """Never NaN, infinite or negative, whatever Kafka says."""
    known = facts(
        durable=4,
        first=FirstRecord(timestamp),
        retention=Retention(ms, size_max),
        size_bytes=size,
        rates=Rates(rate, rate),
    )
    seconds = loss_of(known, 4, NOW_MS).seconds
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


def test_the_arrival_goes_by_what_is_left_of_the_speed() -> None:
    """100 behind, 30 a second archived, 20 written meanwhile."""
    assert catching_up(100, 30, 20).seconds == 10.0
    assert catching_up(100, 20, 20).when == "never"
    assert catching_up(100, None, 20).when == "unknown"
    assert catching_up(0, None, None).when == "done"


def test_rates_are_of_the_last_and_of_the_busiest_moment() -> None:
    """Five minutes between offsets, the last seconds for themselves; a jump back is no negative rate."""
    ends = LogEnds(0, 12_000, 12_000)
    marks = [(offset, 1) for offset in (0, 3000, 12_000, 11_700)]
    assert rates_of(marks, [(60, None), (5, None)], ends, NOW_MS) == Rates(1.0, 30.0)
    assert rates_of([(12_000, 1)] * 4, [(60, (6000, 1)), (5, None)], ends, NOW_MS) == Rates(0.0, 100.0)
    assert rates_of([(12_000, 1)] * 4, [(60, (6000, 1)), (5, (9000, 1))], ends, NOW_MS) == Rates(0.0, 600.0)


def test_a_young_log_was_written_in_its_own_time() -> None:
    """Nothing is older than the last five seconds: 6,000 records in two of them. One batch just now is no rate."""
    ends = LogEnds(0, 6000, 6000)
    for ago_ms, peak in ((2000, 3000.0), (10, 6000.0)):
        first = (0, NOW_MS - ago_ms)
        assert rates_of([first] * 4, [(60, first), (5, first)], ends, NOW_MS).peak == peak


def test_retention_as_kafka_writes_it() -> None:
    """-1 is no bound; a policy may be both."""
    both = {"cleanup.policy": "compact,delete", "retention.ms": "5", "retention.bytes": "-1"}
    assert retention_of(both) == Retention(5, None, deletes=True, compacts=True)
    assert retention_of({"cleanup.policy": "compact"}) == Retention(None, None, deletes=False, compacts=True)
