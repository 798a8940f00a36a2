"""What people type to name a range, and what is refused instead of guessed at."""

import pytest

from headrace.replay import RequestRefused, Selection, parse_selection


def test_a_number_is_an_offset() -> None:
    """Bounds that are numbers are offsets, also 0."""
    assert parse_selection(from_="0", to="10") == Selection(start=0, end=10)


def test_a_moment_is_a_timestamp_in_milliseconds() -> None:
    """A time with a zone becomes Kafka's milliseconds, whatever the zone."""
    chosen = parse_selection(from_="1970-01-01T00:00:01Z", to="1970-01-01T01:00:02+01:00")
    assert (chosen.since_ms, chosen.until_ms) == (1000, 2000)


def test_a_moment_between_milliseconds_is_rounded_up() -> None:
    """[since, until) chooses the same records as with the exact moment: timestamps are whole milliseconds."""
    assert parse_selection(from_="1970-01-01T00:00:00.0001Z").since_ms == 1


def test_a_moment_before_1970_is_negative() -> None:
    """Rounding up holds below zero too."""
    assert parse_selection(from_="1969-12-31T23:59:59.9995Z").since_ms == 0


def test_offset_and_time_may_be_mixed() -> None:
    """From an offset to a moment is a sensible range."""
    chosen = parse_selection(from_="5", to="1970-01-01T00:00:01Z")
    assert (chosen.start, chosen.until_ms) == (5, 1000)


def test_partition_zero_is_a_partition() -> None:
    """Choosing partition 0 is not the same as choosing none."""
    assert parse_selection(partitions=[0]).partitions == (0,)


@pytest.mark.parametrize(
    ("bounds", "hint"),
    [
        ({"from_": "2026-11-23T10:00:00"}, "no time zone"),
        ({"from_": "2026-11-23"}, "--dt 2026-11-23"),
        ({"to": "yesterday"}, "neither an offset"),
        ({"from_": "-1"}, "begin at 0"),
        ({"from_": "7", "to": "7"}, "is empty"),
        ({"from_": "2026-11-23T10:00:00Z", "to": "2026-11-23T10:00:00+00:00"}, "is empty"),
        ({"dates": ["2026-02-30"]}, "2026-02-30"),
        ({"dates": ["23.11.2026"]}, "YYYY-MM-DD"),
        ({"partitions": [-1]}, "from 0"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(bounds: dict[str, object], hint: str) -> None:
    """The error says what to type instead."""
    with pytest.raises(RequestRefused, match=hint):
        parse_selection(**bounds)  # type: ignore[arg-type]  # the table holds arguments of several types


def test_equal_selections_are_described_alike() -> None:
    """The description is what a replay's identity is made from, so order and repetition do not matter."""
    one = Selection(partitions=(2, 1, 1), dates=("2026-11-24", "2026-11-23"), start=0)
    other = Selection(partitions=(1, 2), dates=("2026-11-23", "2026-11-24"), start=0)
    assert one.describe() == other.describe() == "partitions 1,2; offsets [0, ...); dt 2026-11-23,2026-11-24"


def test_a_time_on_the_wall_is_placed_by_its_zone() -> None:
    """Summer and winter time are what the zone says they are."""
    summer = parse_selection(from_="2026-07-01T12:00", tz="Europe/Berlin")
    winter = parse_selection(from_="2026-12-01T12:00", tz="Europe/Berlin")
    assert summer == parse_selection(from_="2026-07-01T10:00Z")
    assert winter == parse_selection(from_="2026-12-01T11:00Z")
    assert parse_selection(from_="2026-12-01T12:00Z", tz="Europe/Berlin") == parse_selection(from_="2026-12-01T12:00Z")


@pytest.mark.parametrize(
    ("text", "what"), [("2026-10-25T02:30", "comes twice"), ("2026-03-29T02:30", "does not exist")]
)
def test_a_time_that_the_clocks_change_around_is_refused(text: str, what: str) -> None:
    """Which of the two was meant would have to be guessed."""
    with pytest.raises(RequestRefused, match=what):
        parse_selection(to=text, tz="Europe/Berlin")


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        parse_selection(from_="0", to="5", partitions=[0, 3], dates=["2026-11-23"], keys=[b"", b"\xff"], where="a > 1"),
        Selection(since_ms=0, until_ms=1, topic_id="T", lineage=0, starts=((0, 5),), ends=((0, 9), (1, 0))),
    ],
)
def test_a_selection_survives_its_json_form(selection: Selection) -> None:
    """Zeros and empty keys are limits too."""
    assert Selection.from_json(selection.as_json()) == selection
