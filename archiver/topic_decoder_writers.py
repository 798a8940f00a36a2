"""The writer schemas that a topic's decoder has met: found once, kept with their codecs, fitted into one set of
columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .avro import AvroCodec, SchemaUnsupported, WriterSchema
from .topic_decoder_columns import ColumnUnion, why_unstorable
from .topic_decoder_frames import CONFLUENT_SIZE


class SchemaSource(Protocol):
    """Where writer schemas come from. Errors of the place itself are raised, never answered with None."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the schema text for a CRC-64-AVRO fingerprint (8 bytes, as in the frame), None if there is none."""
        ...

    def text_by_registry_id(self, schema_id: int) -> str | None:
        """Return the schema text for a registry's id, None if there is none or no registry is configured."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """A writer schema that rows were decoded with. `index` is its number in SCHEMA_COLUMN."""

    index: int
    frame: bytes
    schema: WriterSchema
    codec: AvroCodec


class Refused(Exception):
    """The rows of a frame can't be decoded; they are quarantined with this kind and text."""

    def __init__(self, kind: str, error: str) -> None:
        super().__init__(error)
        self.kind = kind
        self.error = error


class Writers:
    """Writers by frame. Which columns there are is open again after forget_columns()."""

    def __init__(self, schemas: SchemaSource, new_codec: Callable[..., AvroCodec]) -> None:
        self.all: list[Writer] = []
        self._schemas = schemas
        self._new_codec = new_codec
        self._known: dict[bytes, Writer | Refused] = {}
        self.forget_columns()

    def forget_columns(self) -> None:
        """Begin a new set of columns."""
        self.union = ColumnUnion()
        self._fits: dict[bytes, str | None] = {}

    def knows(self, frame: bytes) -> bool:
        """Tell whether the source need not be asked about the frame."""
        return frame in self._known

    def get(self, frame: bytes) -> Writer:
        """Return the writer of a frame, its columns taken into the union.

        Raises Refused, and what the schema source raises. An unknown schema is asked for again each time, since it may
        arrive later; a known one never changes.
        """
        known = self._known.get(frame)
        if known is None:
            known = self._find(frame)
        if isinstance(known, Refused):
            raise Refused(known.kind, known.error)
        if frame not in self._fits:
            self._fits[frame] = self.union.admit(known.schema.arrow_schema)
        conflict = self._fits[frame]
        if conflict is not None:
            raise Refused("schema-conflict", f"the schema of frame {frame.hex()} does not fit: {conflict}")
        return known

    def _find(self, frame: bytes) -> Writer | Refused:
        if len(frame) == CONFLUENT_SIZE:
            text = self._schemas.text_by_registry_id(int.from_bytes(frame[1:], "big"))
        else:
            text = self._schemas.text_by_fingerprint(frame[2:])
        if text is None:
            return Refused("unknown-schema", f"no schema is known for frame {frame.hex()}")
        self._known[frame] = self._built(frame, text)
        return self._known[frame]

    def _built(self, frame: bytes, text: str) -> Writer | Refused:
        reason: object
        try:
            schema = WriterSchema(text)
            reason = why_unstorable(schema.arrow_schema)
        except (SchemaUnsupported, UnicodeError) as unsupported:  # UnicodeError: names with lone surrogates
            reason = unsupported
        if reason is not None:
            return Refused("unsupported-schema", f"frame {frame.hex()}: {reason}")
        writer = Writer(len(self.all), frame, schema, self._new_codec(schema, frame=frame))
        self.all.append(writer)
        return writer
