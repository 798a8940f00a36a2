"""Record batches to rows: decodes a topic's values by whole columns, and sets aside what can't be decoded.

Values are grouped by frame, each group goes through its schema's codec, and the results are put back into the batch's
order. Nothing is dropped: every record comes out as a data row or as a quarantine row.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from .avro import AvroCodec
from .event_date import EventTimes, choose_dates
from .topic_decoder_columns import ColumnUnion, conform
from .topic_decoder_frames import FrameGroup, group_by_frame
from .topic_decoder_writers import Refused, SchemaSource, Writer, Writers

__all__ = ["Rows", "SchemaSource", "TopicDecoder", "TopicSettings", "Writer"]

EVENT_TIME_COLUMN = "occurred_at"
ERROR_CHARS_MAX = 500
UNKNOWN_FRAMES_MAX = 32
"""So many unknown frames are looked up for one batch, those with the most rows first."""

SCHEMA_COLUMN = "_schema"  # index into the decoder's writers, -1 for none; becomes `_frame` when a file is written
NO_SCHEMA = -1

QUARANTINE_KINDS = ("undecodable", "unknown-schema", "unsupported-schema", "schema-conflict", "bad-body")


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How a topic is archived; recorded in its log. `dt_past_days`, `dt_future_days`: see docs/archive-format.md."""

    topic: str
    format: Literal["avro", "raw"] = "avro"
    dt_past_days: int = 30
    dt_future_days: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.topic, str) or not self.topic:
            raise ValueError(f"settings of a topic: its name is a text, not {self.topic!r}")
        if self.format not in ("avro", "raw"):
            raise ValueError(f"settings of topic {self.topic!r}: format is 'avro' or 'raw', not {self.format!r}")
        days = (self.dt_past_days, self.dt_future_days)
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in days):
            raise ValueError(f"settings of topic {self.topic!r}: dt_past_days and dt_future_days are whole numbers")
        if not (0 <= self.dt_past_days <= 36_500 and 0 <= self.dt_future_days <= 36_500):
            raise ValueError(f"settings of topic {self.topic!r}: dt_past_days and dt_future_days lie within 0 to 36500")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TopicSettings":
        """Read what as_json() made. Raises TypeError for unknown fields, ValueError for bad values."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one batch that go to one kind of file, in the batch's order.

    `records`: the records themselves (RECORD_SCHEMA). `columns`: for data the own columns, SCHEMA_COLUMN and `_value`;
    for quarantine `_value`, `_error_kind`, `_error`. `days`: the dt of each row, int32 days since 1970-01-01.
    """

    records: pa.RecordBatch
    columns: pa.RecordBatch
    days: np.ndarray


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch. Both parts together are the batch, each record once."""

    data: Rows
    quarantine: Rows | None
    dt_exceptions: int


@dataclass(slots=True)
class _Piece:
    """Decoded rows of one frame, or tombstones; `positions` in the batch, None for all of it."""

    columns: pa.RecordBatch | None
    positions: np.ndarray | None
    canonical: np.ndarray | None
    writer: int


class _Errors:
    """Rows to be quarantined."""

    def __init__(self) -> None:
        self.positions: list[np.ndarray] = []
        self.kinds: list[str] = []
        self.errors: list[str] = []

    def add(self, positions: np.ndarray, kind: str, errors: Iterable[str]) -> None:
        self.positions.append(positions)
        self.kinds += [kind] * len(positions)
        self.errors += map(_bounded, errors)

    def __len__(self) -> int:
        return len(self.kinds)


class TopicDecoder:
    """Decodes one topic's batches. Keeps the codecs of the schemas that it has met."""

    def __init__(
        self,
        settings: TopicSettings,
        schemas: SchemaSource,
        *,
        new_codec: Callable[..., AvroCodec] = AvroCodec,
    ) -> None:
        self.writers = Writers(schemas, new_codec)
        self._settings = settings

    def decode(self, batch: pa.RecordBatch) -> Decoded:
        """Decode a batch in RECORD_SCHEMA. Raises what the schema source raises."""
        if self._settings.format == "raw":
            columns = _with_record_columns(None, batch.num_rows, NO_SCHEMA, batch.column(5))
            return self._dated(batch, columns, None)
        found = group_by_frame(batch.column(5))
        errors = _Errors()
        pieces = [piece for group in self._asked(found.groups, errors) if (piece := self._piece(batch, group, errors))]
        if len(found.tombstones):
            pieces.append(_Piece(None, found.tombstones, None, NO_SCHEMA))
        if len(found.unframed):
            errors.add(found.unframed, "undecodable", _describe_unframed(batch.column(5), found.unframed))
        if len(pieces) == 1 and pieces[0].positions is None:
            return self._dated(batch, _whole(pieces[0], batch), None)
        records, columns = _assemble(pieces, batch, self.writers.union)
        return self._dated(records, columns, _quarantined(batch, errors) if len(errors) else None)

    def _dated(
        self, records: pa.RecordBatch, columns: pa.RecordBatch, bad: tuple[pa.RecordBatch, pa.RecordBatch] | None
    ) -> Decoded:
        at = columns.schema.get_field_index(EVENT_TIME_COLUMN)
        events = EventTimes.of(columns.column(at)) if at >= 0 else None
        past, future = self._settings.dt_past_days, self._settings.dt_future_days
        dates = choose_dates(events, records.column(2).to_numpy(), past_days=past, future_days=future)
        quarantine = None
        if bad is not None:
            days = choose_dates(None, bad[0].column(2).to_numpy(), past_days=past, future_days=future).days
            quarantine = Rows(bad[0], bad[1], days)
        return Decoded(Rows(records, columns, dates.days), quarantine, dates.exceptions)

    def _asked(self, groups: list[FrameGroup], errors: _Errors) -> list[FrameGroup]:
        """Leave out the rarest of very many unknown frames, each of which would cost a request: noise, not schemas."""
        unknown = [group for group in groups if not self.writers.knows(group.frame)]
        if len(unknown) <= UNKNOWN_FRAMES_MAX:
            return groups
        unknown.sort(key=lambda group: 0 if group.positions is None else -len(group.positions))
        skipped = unknown[UNKNOWN_FRAMES_MAX:]
        for group in skipped:
            text = f"frame {group.frame.hex()} is one of {len(unknown)} unknown ones in a batch, and was not looked up"
            positions = group.positions if group.positions is not None else np.arange(0)
            errors.add(positions, "unknown-schema", [text] * len(positions))
        left_out = {group.frame for group in skipped}
        return [group for group in groups if group.frame not in left_out]

    def _piece(self, batch: pa.RecordBatch, group: FrameGroup, errors: _Errors) -> _Piece | None:
        every = group.positions is None
        positions = np.arange(batch.num_rows) if group.positions is None else group.positions
        try:
            writer = self.writers.get(group.frame)
        except Refused as refused:
            errors.add(positions, refused.kind, [refused.error] * len(positions))
            return None
        values = batch.column(5)
        whole = every or len(positions) == batch.num_rows
        rows = writer.codec.decode(values if whole else values.take(pa.array(positions)))
        if rows.errors:
            wrong = np.flatnonzero(~rows.ok)
            errors.add(positions[wrong], "bad-body", [rows.errors[index] for index in wrong.tolist()])
            if len(wrong) == len(positions):
                return None
            return _Piece(rows.columns, positions[rows.ok], rows.canonical, writer.index)
        return _Piece(rows.columns, None if whole else positions, rows.canonical, writer.index)


def _with_record_columns(own: pa.RecordBatch | None, rows: int, writers: np.ndarray | int, value: pa.Array) -> Any:
    ids = np.full(rows, writers, np.int32) if isinstance(writers, int) else writers
    arrays = [*own.columns] if own is not None else []
    fields = [*own.schema] if own is not None else []
    fields += [pa.field(SCHEMA_COLUMN, pa.int32()), pa.field("_value", pa.binary())]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(ids), value], schema=pa.schema(fields))


def _whole(piece: _Piece, batch: pa.RecordBatch) -> pa.RecordBatch:
    """One schema for the whole batch, every row decoded: the usual case, in which nothing is copied."""
    canonical = piece.canonical
    if canonical is None or canonical.all():
        value = pa.nulls(batch.num_rows, pa.binary())
    else:
        value = _kept_values(batch.column(5), canonical)
    return _with_record_columns(piece.columns, batch.num_rows, piece.writer, value)


def _kept_values(values: pa.Array, canonical: np.ndarray) -> pa.Array:
    """Return the values with null where the columns stand for them."""
    return values.take(pa.array(np.arange(len(values)), mask=canonical))


def _assemble(pieces: list[_Piece], batch: pa.RecordBatch, union: ColumnUnion) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Put the rows of several pieces into the order of the batch."""
    if not pieces:
        return batch.slice(0, 0), _with_record_columns(None, 0, NO_SCHEMA, pa.array([], pa.binary()))
    where = [np.arange(batch.num_rows) if piece.positions is None else piece.positions for piece in pieces]
    positions = np.concatenate(where)
    order = np.argsort(positions, kind="stable")
    writers = np.repeat(np.array([piece.writer for piece in pieces], np.int32), [len(each) for each in where])
    canonical = np.concatenate([_canonical(piece, len(at)) for piece, at in zip(pieces, where, strict=True)])
    names = {name for piece in pieces if piece.columns is not None for name in piece.columns.schema.names}
    own = [conform(piece.columns, len(at), union.fields(names)) for piece, at in zip(pieces, where, strict=True)]
    taken = pa.array(order)
    records = batch.take(pa.array(positions[order]))
    kept = canonical[order]
    value = pa.nulls(len(order), pa.binary()) if kept.all() else _kept_values(records.column(5), kept)
    own_rows = own[0] if len(own) == 1 else pa.concat_batches(own).take(taken) if names else None
    return records, _with_record_columns(own_rows, len(order), writers[order], value)


def _canonical(piece: _Piece, rows: int) -> np.ndarray:
    return np.zeros(rows, bool) if piece.canonical is None else piece.canonical


def _quarantined(batch: pa.RecordBatch, errors: _Errors) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    positions = np.concatenate(errors.positions)
    order = np.argsort(positions, kind="stable")
    records = batch.take(pa.array(positions[order]))
    columns = pa.RecordBatch.from_arrays(
        [
            records.column(5),
            pa.array(errors.kinds, pa.string()).take(pa.array(order)),
            pa.array(errors.errors, pa.string()).take(pa.array(order)),
        ],
        names=["_value", "_error_kind", "_error"],
    )
    return records, columns


def _bounded(text: str) -> str:
    """Return a text that Arrow takes (a schema's text may hold lone surrogates) and that is not too long."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= ERROR_CHARS_MAX else text[: ERROR_CHARS_MAX - 1] + "…"


def _describe_unframed(values: pa.Array, positions: np.ndarray) -> list[str]:
    return [_describe_start(value) for value in values.take(pa.array(positions)).to_pylist()]


def _describe_start(value: bytes) -> str:
    if not value:
        return "the value is empty (not null)"
    return f"{len(value)} bytes that begin with {value[:10].hex()}: not an Avro frame (c301 + 8 bytes, or 00 + 4 bytes)"
