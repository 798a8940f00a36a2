"""A topic's decoder: settings, sources that fail, and that nothing is lost between data and quarantine."""

import math

import numpy as np
import pyarrow as pa
import pytest
from format_v1 import DAY_US, NOW_MS, Record, Schemas, batch_of, frame, old_event, record, record_lists, value_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.archiver.topic_decoder import UNKNOWN_FRAMES_MAX, TopicDecoder, TopicSettings
from headrace.archiver.topic_decoder_columns import ColumnUnion, merge_types, why_unstorable
from headrace.archiver.topic_decoder_frames import group_by_frame


def test_settings_survive_json() -> None:
    """from_json(as_json()) is the settings."""
    made = TopicSettings("pin", "raw", dt_past_days=0, dt_future_days=2)
    assert TopicSettings.from_json(made.as_json()) == made


@pytest.mark.parametrize(
    "change",
    [
        *({"format": "json"}, {"dt_past_days": -1}, {"dt_future_days": 36_501}),
        *({"dt_past_days": 1.5}, {"dt_past_days": True}, {"dt_future_days": math.nan}),
    ],
    ids=str,
)
def test_bad_settings_are_refused(change: dict[str, object]) -> None:
    """A setting that means nothing is refused, with the topic's name."""
    with pytest.raises(ValueError, match="topic 'pin'"):
        TopicSettings.from_json({"topic": "pin", **change})


@pytest.mark.parametrize("name", [math.nan, 7, None, ""])
def test_a_topic_is_named_by_a_text(name: object) -> None:
    """A number in the place of a topic's name is refused, before anything is archived under it."""
    with pytest.raises(ValueError, match="its name is a text"):
        TopicSettings.from_json({"topic": name})


def test_a_schema_source_that_fails_is_not_an_unknown_schema() -> None:
    """An error of the source reaches the caller, and no record is quarantined for it."""

    class Failing(Schemas):
        def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
            raise ConnectionError(f"no answer about {fingerprint.hex()}")

    decoder = TopicDecoder(TopicSettings("pin"), Failing())
    with pytest.raises(ConnectionError, match="no answer"):
        decoder.decode(batch_of([record(0, 0, value_of(b"old-----", old_event()))]))


def test_noise_costs_a_bounded_number_of_requests() -> None:
    """Of very many unknown frames in a batch only some are asked for, and those of most rows first."""
    noise = [frame(b"%08d" % at) + b"\x00" for at in range(1000)]
    records = [record(0, at, value) for at, value in enumerate([*noise, *[value_of(b"old-----", old_event())] * 2])]
    schemas = Schemas()
    decoded = TopicDecoder(TopicSettings("pin"), schemas).decode(batch_of(records))
    assert schemas.asked == UNKNOWN_FRAMES_MAX
    assert decoded.data.records["offset"].to_pylist() == [1000, 1001]
    assert decoded.quarantine is not None
    assert set(decoded.quarantine.columns["_error_kind"].to_pylist()) == {"unknown-schema"}


def test_the_schema_that_came_first_decides() -> None:
    """Of two schemas in a batch that disagree, the one whose record came first is decoded."""
    old, other = value_of(b"old-----", old_event()), frame(b"conflict") + b"\x02a"
    for values in ([old, other], [other, old]):
        records = [record(0, at, value) for at, value in enumerate(values)]
        decoded = TopicDecoder(TopicSettings("pin"), Schemas()).decode(batch_of(records))
        assert decoded.data.records["offset"].to_pylist() == [0]


def test_the_usual_batch_is_not_copied() -> None:
    """Where all rows have one schema and are canonical, the records are the batch itself."""
    decoder = TopicDecoder(TopicSettings("pin"), Schemas())
    batch = batch_of([record(0, at, value_of(b"old-----", old_event())) for at in range(4)])
    decoded = decoder.decode(batch)
    assert decoded.data.records is batch
    assert decoded.quarantine is None
    assert decoded.data.columns.column("_value").null_count == 4


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record_lists())
def test_each_record_is_in_one_place(records: list[Record]) -> None:
    """Data and quarantine together are the batch, each in its order."""
    batch = batch_of(records)
    decoded = TopicDecoder(TopicSettings("pin"), Schemas()).decode(batch)
    parts = [decoded.data, *([decoded.quarantine] if decoded.quarantine else [])]
    places = []
    for rows in parts:
        assert rows.records.num_rows == rows.columns.num_rows == len(rows.days)
        own = list(zip(rows.records["partition"].to_pylist(), rows.records["offset"].to_pylist(), strict=True))
        places += own
    expected = list(zip(batch["partition"].to_pylist(), batch["offset"].to_pylist(), strict=True))
    assert sorted(places) == sorted(expected)
    assert pa.concat_batches([rows.records for rows in parts]).num_rows == batch.num_rows


def test_event_time_decides_the_date() -> None:
    """The date comes from `occurred_at`, for quarantined and other rows from the broker's timestamp."""
    yesterday = value_of(b"old-----", old_event(NOW_MS * 1000 - DAY_US))
    decoded = TopicDecoder(TopicSettings("pin"), Schemas()).decode(
        batch_of([record(0, 0, yesterday), record(0, 1, None), record(0, 2, b"bad")])
    )
    today = NOW_MS // 86_400_000
    assert decoded.data.days.tolist() == [today - 1, today]
    assert decoded.quarantine is not None
    assert decoded.quarantine.days.tolist() == [today]


values = st.lists(
    st.one_of(
        st.none(),
        st.binary(max_size=12),
        st.sampled_from(
            [frame(b"aaaaaaaa"), frame(b"bbbbbbbb") + b"x", b"\x00\x00\x00\x00\x01", b"\x00\x01\x00\x00\x00z"]
        ),
        st.binary(min_size=8, max_size=10).map(lambda rest: b"\xc3\x01" + rest),
    ),
    max_size=20,
)


@given(values, st.integers(0, 3))
def test_frames_are_found_as_one_by_one(given_values: list[bytes | None], skip: int) -> None:
    """Grouping whole columns finds for each row what looking at its first bytes finds, slices included."""
    array = pa.array([b"\xc3\x01", None, b"???"][:skip] + given_values, pa.binary()).slice(skip)
    if skip > 3 or len(array) != len(given_values):
        return
    found = group_by_frame(array)
    frames: dict[int, bytes] = {}
    for group in found.groups:
        positions = np.arange(len(array)) if group.positions is None else group.positions
        frames.update(dict.fromkeys(positions.tolist(), group.frame))
    expected: dict[int, bytes] = {}
    for at, value in enumerate(given_values):
        if value is not None and value.startswith(b"\xc3\x01") and len(value) >= 10:
            expected[at] = value[:10]
        elif value is not None and value.startswith(b"\x00") and len(value) >= 5:
            expected[at] = value[:5]
    assert frames == expected
    assert found.tombstones.tolist() == [at for at, value in enumerate(given_values) if value is None]
    assert sorted([*frames, *found.tombstones.tolist(), *found.unframed.tolist()]) == list(range(len(array)))


def test_a_union_takes_all_of_a_schema_or_nothing() -> None:
    """A schema that doesn't fit leaves no column behind."""
    union = ColumnUnion()
    assert union.admit(pa.schema({"a": pa.int64()})) is None
    reason = union.admit(pa.schema({"b": pa.string(), "a": pa.int32()}))
    assert reason is not None
    assert "'a' is int32 here, and int64" in reason
    assert [field.name for field in union.fields({"a", "b"})] == ["a"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"_x": pa.int64()}, "reserved"),
        ({"topic": pa.int64()}, "reserved"),
        ({"DT": pa.int64()}, "reserved"),
        ({"hr": pa.int64()}, "reserved"),
        ({"a b": pa.int64()}, "no name for a column"),
        ({"a.b": pa.int64()}, "no name for a column"),
        ({"a": pa.list_(pa.struct({"x\n": pa.int64()}))}, "no name for a column"),
        ({"a": pa.int64(), "A": pa.int64()}, "'a' and 'A' differ in case"),
        ({"s": pa.struct({"a": pa.int64(), "A": pa.int64()})}, "'a' and 'A' of s differ in case"),
        ({"s": pa.struct({"a": pa.null()})}, "s.a: a field of type null within another"),
        ({"m": pa.map_(pa.string(), pa.null())}, "of type null within another"),
    ],
    ids=str,
)
def test_what_no_file_can_hold_is_refused(fields: dict[str, pa.DataType], reason: str) -> None:
    """Names that the archive uses itself or engines choke on, and nested nulls, are refused, with the place."""
    found = why_unstorable(pa.schema(fields))
    assert found is not None
    assert reason in found


def test_ordinary_schemas_are_storable() -> None:
    """Anything else is fine: nested names, other letters, and a column of nulls, which is kept as booleans."""
    schema = pa.schema(
        {"dt_": pa.int64(), "ü": pa.list_(pa.struct({"_x": pa.int64(), "dt": pa.int8()})), "n": pa.null()}
    )
    assert why_unstorable(schema) is None
    union = ColumnUnion()
    assert union.admit(schema) is None
    assert union.fields({"n"}) == [pa.field("n", pa.bool_())]


def test_records_grow_and_nothing_else_does() -> None:
    """Nested records merge, at any depth; every other difference in type does not."""
    small, large = pa.struct({"x": pa.int32()}), pa.struct({"x": pa.int32(), "y": pa.string()})
    assert merge_types(small, large) == large
    assert merge_types(large, small) == large
    assert merge_types(pa.list_(small), pa.list_(large)) == pa.list_(large)
    assert merge_types(pa.map_(pa.string(), small), pa.map_(pa.string(), large)) == pa.map_(pa.string(), large)
    assert merge_types(small, pa.struct({"x": pa.int64()})) is None
    assert merge_types(small, pa.struct({"X": pa.int32()})) is None
    assert merge_types(pa.list_(small), pa.list_(pa.int32())) is None
    assert merge_types(pa.int32(), pa.int64()) is None
    assert merge_types(pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC")) is None
