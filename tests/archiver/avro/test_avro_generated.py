"""Generated schemas and records, whole and damaged: the vectorised path, the strict decoder and fastavro agree."""

import io
import json
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.archiver.avro import AvroCodec, DecodedRows, WriterSchema

FRAME = b"\xc3\x01" + bytes(range(0xF0, 0xF8))
ROWS_MIN = 64  # enough for a batch to go to the vectorised reader

Schema = Any  # an Avro schema as JSON values
Generated = tuple[Schema, list[Any]]

INT = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, -1, 63, 64, -64, -65, 8191, 8192, 2**31 - 1, -(2**31)])
LONG = st.integers(-(2**63), 2**63 - 1) | INT | st.sampled_from([2**62, 2**63 - 1, -(2**63), 253_402_300_800_000_000])
FLOAT = st.floats(width=32) | st.sampled_from([0.0, -0.0, float("nan"), float("inf")])
DOUBLE = st.floats() | st.integers(0, 2**64 - 1).map(
    lambda bits: float(struct.unpack("<d", struct.pack("<Q", bits))[0])
)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": INT,
    "long": LONG,
    "float": FLOAT,
    "double": DOUBLE,
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=40),
}
LOGICAL = {
    "int": ["date", "time-millis", "unknown-to-all"],
    "long": ["time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-micros"],
    "string": ["uuid"],
}
DECIMAL_DIGITS = {1: 2, 5: 11, 16: 38, 20: 38}  # by the size of a fixed


class Types:
    """Draws schemas together with strategies for their values. Names are unique within one instance."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"Name{self.names}"

    def any(self, depth: int, *, null: bool = True) -> tuple[Schema, st.SearchStrategy[Any]]:
        kinds = ["primitive", "primitive", "logical", "fixed", "enum", "decimal"]
        if null:
            kinds += ["nullable", "nullable"]
        if depth:
            kinds += ["record", "array", "map"]
        made: tuple[Schema, st.SearchStrategy[Any]] = getattr(self, self.draw(st.sampled_from(kinds)))(depth)
        if not null and made[0] == "null":
            return "int", INT
        return made

    def primitive(self, _depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        kind = self.draw(st.sampled_from(list(PRIMITIVES)))
        return kind, PRIMITIVES[kind]

    def logical(self, _depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        kind = self.draw(st.sampled_from(list(LOGICAL)))
        return {"type": kind, "logicalType": self.draw(st.sampled_from(LOGICAL[kind]))}, PRIMITIVES[kind]

    def fixed(self, _depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        size = self.draw(st.sampled_from([1, 2, 12, 16]))
        return {"type": "fixed", "name": self.name(), "size": size}, st.binary(min_size=size, max_size=size)

    def enum(self, _depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        symbols = [f"S{i}" for i in range(self.draw(st.sampled_from([1, 3, 64, 70])))]
        return {"type": "enum", "name": self.name(), "symbols": symbols}, st.sampled_from(symbols)

    def decimal(self, _depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        size = self.draw(st.sampled_from([None, *DECIMAL_DIGITS]))
        precision = self.draw(st.integers(1, 38 if size is None else DECIMAL_DIGITS[size]))
        scale = self.draw(st.integers(0, precision))
        most = 10**precision - 1
        schema: dict[str, Any] = {"type": "bytes"}
        if size is not None:
            schema = {"type": "fixed", "name": self.name(), "size": size}
        schema |= {"logicalType": "decimal", "precision": precision, "scale": scale}
        unscaled = st.integers(-most, most) | st.sampled_from([0, 1, -1, most, -most, min(most, 128), max(-most, -129)])
        # fastavro writes -128, -32768... with a byte more than they need.
        return schema, unscaled.filter(lambda number: number >= 0 or -number & (-number - 1) != 0).map(
            lambda number: Decimal((int(number < 0), tuple(int(digit) for digit in str(abs(number))), -scale))
        )

    def nullable(self, depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        inner, values = self.any(depth, null=False)
        union = ["null", inner] if self.draw(st.booleans()) else [inner, "null"]
        return union, st.none() | values

    def record(self, depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        fields = {f"f{i}": self.any(depth - 1) for i in range(self.draw(st.integers(1, 5)))}
        schema = {
            "type": "record",
            "name": self.name(),
            "fields": [{"name": name, "type": field} for name, (field, _) in fields.items()],
        }
        return schema, st.fixed_dictionaries({name: values for name, (_, values) in fields.items()})

    def array(self, depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        items, values = self._item(depth)
        return {"type": "array", "items": items}, st.lists(values, max_size=4)

    def map(self, depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        items, values = self._item(depth)
        return {"type": "map", "values": items}, st.dictionaries(st.text(max_size=5), values, max_size=4)

    def _item(self, depth: int) -> tuple[Schema, st.SearchStrategy[Any]]:
        """Items of no bytes are refused."""
        items, values = self.any(depth - 1)
        return ("long", LONG) if empty(items) else (items, values)


def empty(schema: Schema) -> bool:
    if isinstance(schema, dict) and schema["type"] == "record":
        return all(empty(field["type"]) for field in schema["fields"])
    return bool(schema == "null")


def nests_null(schema: Schema, *, top: bool = True) -> bool:
    """Tell whether a record within the record has a field of type null, which the vectorised reader can't read."""
    if isinstance(schema, list):
        return any(nests_null(branch, top=False) for branch in schema if branch != "null")
    if not isinstance(schema, dict):
        return bool(schema == "null" and not top)
    if schema["type"] == "record":
        return any(nests_null(field["type"], top=top and field["type"] == "null") for field in schema["fields"])
    return nests_null(schema.get("items", schema.get("values")), top=False)


@st.composite
def generated(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Generated:
    """Draw a record schema and some records."""
    schema, values = Types(draw).record(3)
    return schema, draw(st.lists(values, min_size=1, max_size=8))


def parsed(schema: Schema) -> Any:
    return fastavro.parse_schema(json.loads(json.dumps(schema)))


def written(schema: Schema, records: list[Any]) -> list[bytes]:
    """Encode with fastavro."""
    known = parsed(schema)
    values = []
    for record in records:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, known, record)
        values.append(FRAME + out.getvalue())
    return values


def tiled(values: list[Any]) -> list[Any]:
    return values * (ROWS_MIN // len(values) + 1)


def expected(schema: Schema, value: Any) -> Any:
    """Return what `plain` makes of a column that holds the value."""
    if isinstance(schema, list):
        return None if value is None else expected(next(branch for branch in schema if branch != "null"), value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        return tuple(expected(field["type"], value[field["name"]]) for field in schema["fields"])
    if kind == "array":
        return [expected(schema["items"], item) for item in value]
    if kind == "map":
        return [(key, expected(schema["values"], item)) for key, item in value.items()]
    if kind in ("float", "double"):
        packed = struct.pack("<f" if kind == "float" else "<d", value)
        return struct.unpack("<i" if kind == "float" else "<q", packed)[0]
    return value


def plain(array: Any) -> list[Any]:
    """Return an array's values, floats as their bits and times as their integers."""
    kind = array.type
    if pa.types.is_struct(kind):
        columns = [plain(array.field(at)) for at in range(kind.num_fields)]
        valid = array.is_valid().to_pylist()
        return [tuple(column[at] for column in columns) if here else None for at, here in enumerate(valid)]
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        items = plain(array.values)
        ends = array.offsets.to_pylist()
        valid = array.is_valid().to_pylist()
        return [items[ends[at] : ends[at + 1]] if here else None for at, here in enumerate(valid)]
    if pa.types.is_dictionary(kind):
        return plain(array.dictionary_decode())
    if pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        return list(array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist())
    return list(array.to_pylist())


def plain_rows(columns: pa.RecordBatch) -> list[Any]:
    return [tuple(row) for row in zip(*(plain(column) for column in columns.columns), strict=True)]


def strict_codec(schema: Schema, frame: bytes = FRAME) -> AvroCodec:
    """Make a codec that decodes row by row."""
    codec = AvroCodec(WriterSchema(json.dumps(schema)), frame=frame)
    codec._rows.vectorised = False
    return codec


def check_alike(left: DecodedRows, right: DecodedRows) -> None:
    assert left.ok.tolist() == right.ok.tolist()
    assert left.errors == right.errors
    assert left.columns.schema.equals(right.columns.schema)
    assert plain_rows(left.columns) == plain_rows(right.columns)
    assert left.canonical.tolist() == right.canonical.tolist()
    left.columns.validate(full=True)
    right.columns.validate(full=True)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(generated())
def test_what_fastavro_writes_decodes_to_the_records_and_encodes_to_the_same_bytes(case: Generated) -> None:
    """Full check, length proof and strict decoder give the records; encode gives fastavro's bytes; all canonical."""
    schema, records = case
    values = tiled(written(schema, records))
    rows = tiled([expected(schema, record) for record in records])
    array = pa.array(values, pa.binary())
    writer = WriterSchema(json.dumps(schema))
    codec = AvroCodec(writer, frame=FRAME, full_check_batches=1, sample_every=1_000)
    assert codec.vectorised is not nests_null(schema)
    decoded = [codec.decode(array), codec.decode(array), strict_codec(schema).decode(array)]
    for each in decoded:
        assert not each.errors
        assert each.columns.schema.equals(writer.arrow_schema)
        assert plain_rows(each.columns) == rows
        assert codec.encode(each.columns).to_pylist() == values
        assert codec.encode(each.columns.slice(3, 41)).to_pylist() == values[3:44]
        assert each.canonical.all()
        each.columns.validate(full=True)
    assert codec.decoder_disagreements == 0
    assert codec.vectorised is not nests_null(schema)


@st.composite
def damaged(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Schema, list[bytes]]:
    """Draw a schema and values of it, some of them changed in a few bytes, cut, prolonged or replaced."""
    schema, records = draw(generated())
    values = tiled(written(schema, records))
    for at in draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=6)):
        body = bytearray(values[at][len(FRAME) :])
        where = draw(st.integers(0, len(body)))
        match draw(st.sampled_from(["set", "set", "insert", "delete", "append", "cut", "random", "join"])):
            case "set" if where < len(body):
                body[where] = draw(st.sampled_from([0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
            case "insert":
                body[where:where] = draw(st.binary(min_size=1, max_size=3))
            case "delete":
                del body[where : where + 1]
            case "append":
                body += draw(st.binary(min_size=1, max_size=12))
            case "cut":
                del body[where:]
            case "random":
                body[:] = draw(st.binary(max_size=40))
            case "join":  # a value that goes on with another one's, frame and all
                body += draw(st.sampled_from(values))
        values[at] = FRAME + bytes(body)
    return schema, values


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged(), st.booleans())
def test_damaged_values_come_out_as_from_the_strict_decoder_and_hit_no_other_row(
    case: tuple[Schema, list[bytes]], full: bool
) -> None:
    """Whatever the bytes: the same rows, verdicts and errors as row by row; what is canonical encodes to its bytes."""
    schema, values = case
    array = pa.array(values, pa.binary())
    writer = WriterSchema(json.dumps(schema))
    codec = AvroCodec(writer, frame=FRAME, full_check_batches=int(full), sample_every=1_000)
    codec.decode(array.slice(0, 0))
    found = codec.decode(array)
    check_alike(found, strict_codec(schema).decode(array))
    inputs = [value for value, ok in zip(values, found.ok, strict=True) if ok]
    again = codec.encode(found.columns).to_pylist()
    assert [one == other for one, other in zip(inputs, again, strict=True)] == found.canonical.tolist()
    assert codec.decoder_disagreements == 0


BODIES = st.lists(st.binary(max_size=60), min_size=ROWS_MIN, max_size=ROWS_MIN)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    generated(), st.lists(st.binary(max_size=60), min_size=ROWS_MIN, max_size=ROWS_MIN), st.sampled_from([b"", FRAME])
)
def test_random_bytes_decode_as_strictly_or_not_at_all(case: Generated, bodies: list[bytes], frame: bytes) -> None:
    """Random bodies, with and without a frame: no exception, and the strict decoder's verdict on each."""
    schema, _ = case
    array = pa.array([frame + body for body in bodies], pa.binary())
    codec = AvroCodec(WriterSchema(json.dumps(schema)), frame=frame)
    check_alike(codec.decode(array), strict_codec(schema, frame).decode(array))
