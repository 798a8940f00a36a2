"""Generated classes of generated schemas: the bytes are fastavro's, and what does not fit is refused."""

import io
import json
import types
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from team_schemas import classes_of, enum, field, record

from headrace.schemas import InvalidEvent
from headrace.schemas.event import Envelope
from headrace.schemas.folder import SchemaFile, SchemaFolder
from headrace.schemas.frame import decode
from headrace.schemas.generate import generate
from headrace.schemas.personal import PersonalEvent

ENVELOPE = Envelope(service="s", host="h", session_id=bytes(16))
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TIMES = st.datetimes(timezones=st.just(UTC))

KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "boolean": ("boolean", st.booleans()),
    "int": ("int", st.integers(-(2**31), 2**31 - 1)),
    "long": ("long", st.integers(-(2**63), 2**63 - 1)),
    "float": ("float", st.floats(width=32, allow_nan=False)),
    "double": ("double", st.floats(allow_nan=False)),
    "bytes": ("bytes", st.binary(max_size=9)),
    "string": ("string", st.text(max_size=9)),
    "fixed": ({"type": "fixed", "name": "Digest", "size": 4}, st.binary(min_size=4, max_size=4)),
    "enum": (enum("State", "PAID", "SENT"), st.sampled_from(["UNKNOWN", "PAID", "SENT"])),
    "micros": (MICROS, TIMES),
    "millis": (MILLIS, TIMES.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))),
    "date": ({"type": "int", "logicalType": "date"}, st.dates()),
}
# Names that the generated code must not fall over.
NAMES = [
    *("type", "len", "int", "str", "bytes", "tuple", "list", "dict", "float", "bool", "isinstance"),
    *("date", "datetime", "w", "v", "n", "own", "items", "count", "user_id"),
]


@st.composite
def schemas_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A record, values for a class of it, and what must come out of them."""
    fields, given_values, expected = [], {}, {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=7)):
        kind = draw(st.sampled_from(sorted(KINDS)))
        avro_type, values = KINDS[kind]
        if isinstance(avro_type, dict) and "name" in avro_type:
            avro_type = {**avro_type, "name": f"{avro_type['name']}Of{name.title().replace('_', '')}"}
        form = draw(st.sampled_from(["plain", "array", "map"]))
        default: Any = None
        if form == "array":
            avro_type, values, default = {"type": "array", "items": avro_type}, st.lists(values, max_size=4), []
        elif form == "map":
            avro_type, default = {"type": "map", "values": avro_type}, {}
            values = st.dictionaries(st.text(max_size=3), values, max_size=4)
        nullable = draw(st.booleans())
        if nullable:
            avro_type, values, default = ["null", avro_type], st.none() | values, None
        has_default = nullable or form != "plain"
        more: dict[str, Any] = {"default": default} if has_default else {}
        label = draw(st.sampled_from([None, None, "drop"])) if has_default else None
        if label:
            more["headrace.pii"] = label
        fields.append(field(name, avro_type, **more))
        value = draw(values)
        given_values[name] = value
        expected[name] = default if label else value
    return record(*fields), given_values, expected


def class_of(schema: dict[str, Any]) -> Any:
    """Generate and import the class of a record, without files."""
    folder = SchemaFolder(Path("x"), {"order": SchemaFile("order", None, Path("order.avsc"), schema)})
    module = types.ModuleType("generated")
    exec(generate(folder), vars(module))
    return module.Order


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(schemas_and_values())
def test_generated_classes_encode_as_fastavro_does(made: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> None:
    """Any fields of any names in any order: the same bytes as fastavro for the values, which the event also has."""
    schema, values, expected = made
    cls = class_of(schema)
    event = cls(**values)
    envelope = {"event_id": b"i" * 16, "occurred_at": 0, "service": "s", "host": "h", "session_id": bytes(16), "seq": 1}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(cls.SCHEMA)), {**envelope, **expected})
    value = event.kafka_value(ENVELOPE, b"i" * 16, 1, 0, None)
    assert value[10:] == body.getvalue()
    decoded = decode(value, {cls.FINGERPRINT: cls.SCHEMA})
    assert {name: decoded[name] for name in expected} == expected
    assert event == cls(**event.as_dict())


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A class with each kind of field in each form."""
    fields = []
    for kind, (avro_type, _) in KINDS.items():
        forms: dict[str, Any] = {"none": ["null", avro_type], "list": {"type": "array", "items": avro_type}}
        forms["dict"] = {"type": "map", "values": avro_type}
        forms["none_list"], forms["none_dict"] = ["null", forms["list"]], ["null", forms["dict"]]
        for form, plain in forms.items():
            text = json.dumps(plain).replace('"Digest"', f'"Digest{form}"').replace('"State"', f'"State{form}"')
            default: Any = {"list": [], "dict": {}}.get(form)
            fields.append(field(f"{kind}_{form}", json.loads(text), default=default))
    return classes_of(tmp_path_factory.mktemp("all"), record(*fields)).Order


GOOD: dict[str, Any] = {
    "boolean": True, "int": 1, "long": 1, "float": 1.0, "double": 1.0, "bytes": b"", "string": "", "fixed": b"abcd",
    "enum": "PAID", "micros": datetime(2026, 1, 1, tzinfo=UTC), "millis": datetime(2026, 1, 1, tzinfo=UTC),
    "date": date(2026, 1, 1),
}  # fmt: skip
# For each kind what is none of it, though Python might take it for one.
WRONG: dict[str, list[Any]] = {
    "boolean": [1, 0, "true", b"\x01"],
    "int": [True, 1.0, "1", 2**31, -(2**31) - 1],
    "long": [False, 1.5, "1", 2**63, -(2**63) - 1, 10**40],
    "float": [True, "1.0", 1e39, 2**24 + 1.5j],
    "double": [False, "1.0", 10**400, 2**53 + 1],
    "bytes": ["a", bytearray(b"a"), 5],
    "string": [b"a", 5, "\ud800"],
    "fixed": ["abcd", b"abc", b"abcde"],
    "enum": ["paid", "", 1, ["PAID"]],
    "micros": [datetime(2026, 1, 1), 5, date(2026, 1, 1), "2026-01-01"],  # noqa: DTZ001 - no time zone is the point
    "millis": [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1, UTC), 5],  # noqa: DTZ001 - as above
    "date": [datetime(2026, 1, 1, tzinfo=UTC), 5, "2026-01-01"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values])
def test_what_does_not_fit_is_refused_in_every_form(order: Any, kind: str, value: Any) -> None:
    """A wrong type, range, size or symbol is refused alone, in an array and in a map; its place is named."""
    good = GOOD[kind]
    for form, given_value, place in [
        ("none", value, ""),
        ("list", [good, value], "[1]"),
        ("none_list", [good, value], "[1]"),
        ("dict", {"a": good, "b": value}, "['b']"),
        ("none_dict", {"a": good, "b": value}, "['b']"),
    ]:
        with pytest.raises(InvalidEvent) as caught:
            order(**{f"{kind}_{form}": given_value})
        assert caught.value.where == f"order.{kind}_{form}{place}"
        order(**{f"{kind}_{form}": [good] if "list" in form else {"a": good} if "dict" in form else good})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["ab", 5, {1}, b"ab"])
def test_what_is_no_collection_is_refused(order: Any, kind: str, wrong: Any) -> None:
    """Text is no list of texts, a set has no order, a list is no map; null only where it may be."""
    for form in ("list", "none_list", "dict", "none_dict"):
        with pytest.raises(InvalidEvent, match=f"order.{kind}_{form}: must be a (list or tuple|dict)"):
            order(**{f"{kind}_{form}": wrong})
    for form, other in (("list", {"a": 1}), ("dict", [1])):
        with pytest.raises(InvalidEvent, match="must be a"):
            order(**{f"{kind}_{form}": other})
    for form in ("list", "dict"):
        with pytest.raises(InvalidEvent, match="not None"):
            order(**{f"{kind}_{form}": None})
    with pytest.raises(InvalidEvent, match=f"order.{kind}_dict key: must be a str"):
        order(**{f"{kind}_dict": {5: None}})


def test_neighbouring_collections_are_told_apart(tmp_path: Path) -> None:
    """Arrays and maps that are encoded in one go name the field and place of what does not fit, and take empty ones."""
    longs, texts = {"type": "array", "items": "long"}, {"type": "map", "values": "string"}
    cls = classes_of(
        tmp_path, record(field("a", longs, default=[]), field("b", texts, default={}), field("c", longs, default=[]))
    ).Order
    assert cls(a=[1], c=(2,)) == cls(a=(1,), b={}, c=[2])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"c": [1, True]}, "order.c[1]"),
        ({"a": [1, 2**63]}, "order.a[1]"),
        ({"b": {"x": "\udc80"}}, "order.b['x']"),
        ({"b": {"\udc80": "x"}}, "order.b key"),
        ({"b": [1]}, "order.b"),
    ]
    for wrong, where in cases:
        with pytest.raises(InvalidEvent) as caught:
            cls(**wrong)
        assert caught.value.where == where


def test_collections_of_one_event_may_be_too_large_together(tmp_path: Path) -> None:
    """Each may fit, and all of them not."""
    texts = {"type": "array", "items": "string"}
    cls = classes_of(tmp_path, record(field("a", texts, default=[]), field("b", texts, default=[]))).Order
    half = ["x" * 10_000] * 50
    assert cls(a=half).body_bytes > 500_000
    for too_much in ({"a": half, "b": half}, {"a": ["x" * 900_001]}):
        with pytest.raises(InvalidEvent, match="all fields together"):
            cls(**too_much)


def test_a_labelled_collection_is_no_part_of_a_group(tmp_path: Path) -> None:
    """It is dropped, its neighbours are not."""
    longs = {"type": "array", "items": "long"}
    label = {"headrace.pii": "drop"}
    cls = classes_of(
        tmp_path,
        record(field("a", longs, default=[]), field("b", longs, default=[], **label), field("c", longs, default=[])),
    ).Order
    event = cls(a=[1], b=[2], c=[3])
    assert (event.a, event.b, event.c) == ((1,), (), (3,))
    assert not isinstance(event, PersonalEvent)
