"""Which date a record is filed under."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.archiver.event_date import EventTimes, choose_dates, date_text

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1)
END_MS = 253_402_300_800_000  # 10000-01-01
START_MS = -62_135_596_800_000  # 0001-01-01

any_ms = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-1, 0, 1, END_MS - 1, END_MS, START_MS, START_MS - 1, 2**63 - 1, -(2**63)]),
    st.integers(1_700_000_000_000, 1_700_000_000_000 + 90 * DAY_MS),
)


def plain_dt(event_us: int | None, broker_ms: int, past: int, future: int) -> str:
    """The table in docs/archive-format.md, for one record."""
    event_ms = None if event_us is None else event_us // 1000
    event = None if event_ms is None or not START_MS <= event_ms < END_MS else event_ms
    broker = broker_ms if 0 <= broker_ms < END_MS else None
    if event is not None and broker is not None and -past * DAY_MS <= event - broker <= future * DAY_MS:
        chosen = event
    elif broker is not None:
        chosen = broker
    else:
        chosen = event or 0
    return (EPOCH + timedelta(days=chosen // DAY_MS)).isoformat()


def event_us_near(broker_ms: int) -> st.SearchStrategy[int | None]:
    near = st.integers(-40, 5).map(lambda days: max(-(2**63), min(2**63 - 1, (broker_ms + days * DAY_MS) * 1000)))
    return st.one_of(st.none(), near, st.integers(-(2**63), 2**63 - 1))


pairs = any_ms.flatmap(lambda broker: st.tuples(event_us_near(broker), st.just(broker)))


@given(st.lists(pairs, min_size=1, max_size=20), st.integers(0, 40), st.integers(0, 3))
@example([(None, -1), (0, -1), (2**63 - 1, -1), (-(2**63), 2**63 - 1), (0, 30 * DAY_MS), (-1, 30 * DAY_MS)], 30, 1)
@example([(DAY_MS * 1000, 0), (DAY_MS * 1000 + 999, 0), (DAY_MS * 1000 + 1000, 0)], 30, 1)
def test_whole_columns_give_what_the_rule_says(rows: list[tuple[int | None, int]], past: int, future: int) -> None:
    """For any event time and any broker timestamp the date is the rule's, and nothing overflows or raises."""
    column = pa.array([event for event, _ in rows], pa.timestamp("us", "UTC"))
    brokers = np.array([broker for _, broker in rows], np.int64)
    dates = choose_dates(EventTimes.of(column), brokers, past_days=past, future_days=future)
    assert dates.days.dtype == np.int32
    expected = [plain_dt(event, broker, past, future) for event, broker in rows]
    assert [date_text(day) for day in dates.days.tolist()] == expected
    misfiled = sum(
        event is not None and (not START_MS <= event // 1000 < END_MS or plain_dt(event, -1, 0, 0) != dt)
        for (event, _), dt in zip(rows, expected, strict=True)
    )
    assert dates.exceptions == misfiled


@given(st.lists(any_ms, min_size=1, max_size=20))
def test_without_event_times_the_broker_decides(brokers: list[int]) -> None:
    """Records without an event time go by the broker's timestamp, and none of them is an exception."""
    dates = choose_dates(None, np.array(brokers, np.int64), past_days=30, future_days=1)
    assert [date_text(day) for day in dates.days.tolist()] == [plain_dt(None, each, 30, 1) for each in brokers]
    assert dates.exceptions == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_event_times_of_every_unit(unit: str) -> None:
    """A timestamp column of any unit is understood, before 1970 too."""
    moments = [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC), None]
    events = EventTimes.of(pa.array(moments, pa.timestamp(unit, "UTC")))
    assert events is not None
    assert events.present is not None
    assert events.milliseconds[:2].tolist() == [-1000, 1_795_392_000_000]
    assert events.present.tolist() == [True, True, False]


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63)])
def test_seconds_beyond_milliseconds_don_t_overflow(extreme: int) -> None:
    """Seconds that have no int64 of milliseconds are beyond every date, and stay so."""
    events = EventTimes.of(pa.array([extreme], pa.timestamp("s", "UTC")))
    assert events is not None
    assert not START_MS <= int(events.milliseconds[0]) < END_MS


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.date32(), pa.timestamp("us")])
def test_only_instants_are_event_times(kind: pa.DataType) -> None:
    """A column of another type, or a timestamp without a zone, says nothing about a date in UTC."""
    assert EventTimes.of(pa.nulls(1, kind)) is None


def test_no_rows() -> None:
    """An empty batch has no dates."""
    assert len(choose_dates(None, np.empty(0, np.int64), past_days=30, future_days=1).days) == 0
