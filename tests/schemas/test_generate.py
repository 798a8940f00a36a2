"""Generated classes of a team's own folder, with every kind of field."""

import io
import json
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from team_schemas import enum, field, load_module, record, write

from headrace.schemas import InvalidEvent
from headrace.schemas.classes import event_classes
from headrace.schemas.errors import SchemaError
from headrace.schemas.event import Envelope
from headrace.schemas.evolution import check
from headrace.schemas.folder import read_folder
from headrace.schemas.frame import decode
from headrace.schemas.from_json import event_from_json
from headrace.schemas.generate import generate

FIXED = {"type": "fixed", "name": "Digest", "size": 4}
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "boolean": ("boolean", st.booleans()),
    "int": ("int", st.integers(-(2**31), 2**31 - 1)),
    "long": ("long", st.integers(-(2**63), 2**63 - 1)),
    "float": ("float", st.floats(width=32, allow_nan=False)),
    "double": ("double", st.floats(allow_nan=False)),
    "bytes": ("bytes", st.binary(max_size=20)),
    "string": ("string", st.text(max_size=20)),
    "fixed": (FIXED, st.binary(min_size=4, max_size=4)),
    "enum": (enum("State", "PAID", "SENT"), st.sampled_from(["UNKNOWN", "PAID", "SENT"])),
    "micros": ({"type": "long", "logicalType": "timestamp-micros"}, st.datetimes(timezones=st.just(UTC))),
    "millis": (
        {"type": "long", "logicalType": "timestamp-millis"},
        st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    ),
    "date": ({"type": "int", "logicalType": "date"}, st.dates()),
}
DEFAULTS: dict[str, Any] = {
    "boolean": True, "int": -1, "long": 2**40, "float": 0.5, "double": 2, "string": "a'\"\n\\",
    "enum": "PAID",
}  # fmt: skip


def named(avro_type: Any, suffix: str) -> Any:
    """A copy of a named type under another name, since a schema defines each name once."""
    return (
        {**avro_type, "name": avro_type["name"] + suffix}
        if isinstance(avro_type, dict) and "name" in avro_type
        else avro_type
    )


def everything() -> dict[str, Any]:
    """A record with every kind of field: plain, nullable, with a default, in an array, in a map."""
    fields = []
    for kind, (avro_type, _) in KINDS.items():
        fields += [
            field(f"{kind}_plain", named(avro_type, "A"), doc='a """quoted""" \\ doc'),
            field(f"{kind}_null", ["null", named(avro_type, "B")], default=None),
            field(f"{kind}_list", {"type": "array", "items": named(avro_type, "C")}, default=[]),
            field(f"{kind}_map", ["null", {"type": "map", "values": named(avro_type, "D")}], default=None),
        ]
        if kind in DEFAULTS:
            fields.append(field(f"{kind}_default", named(avro_type, "E"), default=DEFAULTS[kind]))
    return record(*fields, key="fixed_plain", doc='An order with """all""" there is \\.')


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("team")
    write(path / "order.avsc", everything())
    folder = read_folder(path)
    assert check(folder) == []
    made = load_module(generate(folder), path)
    yield made
    del sys.modules[made.__name__]


VALUES = st.fixed_dictionaries(
    {f"{kind}_plain": strategy for kind, (_, strategy) in KINDS.items()},
    optional={
        **{f"{kind}_null": st.none() | strategy for kind, (_, strategy) in KINDS.items()},
        **{f"{kind}_list": st.lists(strategy, max_size=4) for kind, (_, strategy) in KINDS.items()},
        **{f"{k}_map": st.none() | st.dictionaries(st.text(max_size=3), s, max_size=4) for k, (_, s) in KINDS.items()},
    },
)
ENVELOPE = Envelope(service="s", host="h", session_id=bytes(16))


# A busy machine takes long to draw so many values, and that says nothing about them.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_every_kind_of_field_is_encoded_as_fastavro_does(module: ModuleType, values: dict[str, Any]) -> None:
    """Given values and defaults alike: the same bytes, and back."""
    event = module.Order(**values)
    value = event.kafka_value(ENVELOPE, b"i" * 16, 1, 0, None)
    fields = {
        "event_id": b"i" * 16, "occurred_at": 0, "service": "s", "host": "h", "session_id": bytes(16), "seq": 1,
    } | values  # fmt: skip
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(module.Order.SCHEMA)), fields)
    assert value[10:] == body.getvalue()
    decoded = decode(value, {module.Order.FINGERPRINT: module.Order.SCHEMA})
    assert {name: decoded[name] for name in values} == values
    assert decoded["string_default"] == event.string_default == DEFAULTS["string"]
    assert decoded["enum_default"] == event.enum_default == "PAID"
    assert event.kafka_key("s") == values["fixed_plain"]
    assert pickle.loads(pickle.dumps(event)) == event


MINIMUM: dict[str, Any] = {
    "boolean_plain": True, "int_plain": 1, "long_plain": 1, "float_plain": 1.0, "double_plain": 1.0, "bytes_plain": b"",
    "string_plain": "", "fixed_plain": b"1234", "enum_plain": "PAID", "micros_plain": datetime(2026, 1, 1, tzinfo=UTC),
    "millis_plain": datetime(2026, 1, 1, tzinfo=UTC), "date_plain": date(2026, 1, 1),
}  # fmt: skip


def test_collections_are_copied(module: ModuleType) -> None:
    """Changing the list or dict that an event was made of does not change the event."""
    items, entries = [1, 2], {"a": 1}
    event = module.Order(**MINIMUM, long_list=items, long_map=entries)
    items.append(3)
    entries["b"] = 2
    assert event.long_list == (1, 2)
    assert event.long_map == {"a": 1}
    assert isinstance(event.long_map, MappingProxyType)


def test_wrong_items_are_named(module: ModuleType) -> None:
    """An item that does not fit is told with its place."""
    with pytest.raises(InvalidEvent, match=r"order.enum_list\[1\]: must be one of UNKNOWN, PAID, SENT"):
        module.Order(**MINIMUM, enum_list=["PAID", "paid"])
    with pytest.raises(InvalidEvent, match=r"order.long_list: must be a list or tuple, not str"):
        module.Order(**MINIMUM, long_list="12")
    with pytest.raises(InvalidEvent, match=r"order.long_map: must be a dict"):
        module.Order(**MINIMUM, long_map=[1])


def test_from_json_reads_every_kind(module: ModuleType) -> None:
    """JSON's forms of bytes, fixed, times and dates become the values that the class takes."""
    given = {
        **MINIMUM, "bytes_plain": "AQI=", "fixed_plain": "01020304", "micros_plain": "2026-11-23T10:00:00.000001Z",
        "millis_plain": "2026-11-23T10:00:00+02:00", "date_plain": "2026-11-23", "bytes_list": ["", "AQ=="],
        "fixed_map": {"a": "00000000"}, "micros_null": None,
        "occurred_at": "2026-11-23T10:00:00Z", "trace_id": "ab" * 16,
    }  # fmt: skip
    event = event_from_json(module.Order, given)
    assert event == module.Order(**{
        **MINIMUM, "bytes_plain": b"\x01\x02", "fixed_plain": b"\x01\x02\x03\x04",
        "micros_plain": datetime(2026, 11, 23, 10, 0, 0, 1, UTC), "millis_plain": datetime(2026, 11, 23, 8, tzinfo=UTC),
        "date_plain": date(2026, 11, 23), "bytes_list": [b"", b"\x01"], "fixed_map": {"a": bytes(4)},
        "occurred_at": datetime(2026, 11, 23, 10, tzinfo=UTC), "trace_id": b"\xab" * 16,
    })  # fmt: skip


def test_generated_text_depends_on_the_schemas_alone(tmp_path: Path) -> None:
    """Two folders with the same schemas give the same text, line for line."""
    for name in ("a", "b"):
        write(tmp_path / name / "order.avsc", everything())
        write(tmp_path / name / "visit.avsc", {**record(field("page", "string")), "name": "Visit"})
    text = generate(read_folder(tmp_path / "a"))
    assert text == generate(read_folder(tmp_path / "b"))
    made = load_module(text, tmp_path)
    assert sorted(event_classes(made)) == ["order", "visit"]
    assert made.Visit(page="x").kafka_key("web") is None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (record(field("class", "long")), "order.avsc: field class: is a word of Python's own"),
        (record(field("a", ["long", "null"])), "order.avsc: field a: the only union"),
        (record(field("a", "int", default=2**31)), "order.avsc: field a: default: must fit 32 bits"),
        (record(field("a", "double"), key="a"), "order.avsc: key: 'a' is no field of kind"),
    ],
)
def test_what_has_no_class_is_refused(tmp_path: Path, schema: dict[str, Any], said: str) -> None:
    """A schema that cannot be a class is named, and nothing half is generated."""
    write(tmp_path / "order.avsc", schema)
    with pytest.raises(SchemaError, match=said):
        generate(read_folder(tmp_path))


def test_names_that_collide_are_refused(tmp_path: Path) -> None:
    """An enum's alias may not hide another type's class."""
    write(tmp_path / "order.avsc", record(field("state", enum("State", "A"))))
    write(tmp_path / "order_state.avsc", {**record(), "name": "OrderState"})
    with pytest.raises(SchemaError, match=r"the name OrderState is taken by order.avsc"):
        generate(read_folder(tmp_path))


def test_a_class_cannot_hide_what_its_module_imports(tmp_path: Path) -> None:
    """A type called event would be a class Event, which all others are subclasses of."""
    write(tmp_path / "event.avsc", {**record(field("a", "long")), "name": "Event"})
    with pytest.raises(SchemaError, match=r"event.avsc: the name Event is taken by headrace"):
        generate(read_folder(tmp_path))
