"""Records as JSON lines: one object a line, `raw` (exact, base64) or `event` (decoded, for people and scripts)."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Literal

from .event_json import EventDecoder, bytes_json
from .pieces import pieces
from .reader import Chunk

LineFormat = Literal["event", "raw"]
LINES_AT_ONCE = 2_000
BYTES_AT_ONCE = 4 << 20


class JsonLines:
    """Turns chunks into lines, each with its newline, in UTF-8.

    raw: topic, partition, offset, timestamp, timestamp_type, key, value (base64 or null), headers as
    [[name, base64 or null], ...]. event: the same names; `key` and header values as text, `value` as the event's
    fields (event_json says how), and `_error` on a record that was quarantined.
    """

    def __init__(self, topic: str, form: LineFormat) -> None:
        self._topic = json.dumps(topic)
        self._form = form
        self._decoder = EventDecoder()

    def lines(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the chunk's lines, some thousands at a time."""
        for start, piece in pieces(chunk.records, rows_max=LINES_AT_ONCE, bytes_max=BYTES_AT_ONCE):
            contents = (self._events if self._form == "event" else self._raw)(chunk, start, piece.num_rows)
            offsets, stamps, types = (
                piece.column(name).to_pylist() for name in ("offset", "timestamp", "timestamp_type")
            )
            head = f'{{"topic":{self._topic},"partition":{chunk.partition}'
            yield "".join(
                f'{head},"offset":{offset},"timestamp":{stamp},"timestamp_type":{type_},{content}\n'
                for offset, stamp, type_, content in zip(offsets, stamps, types, contents, strict=True)
            ).encode()

    def _raw(self, chunk: Chunk, start: int, count: int) -> Iterator[str]:
        for key, value, headers in _contents(chunk, start, count):
            shown = _compact([[each["name"], _base64(each["value"])] for each in headers]) if headers else "[]"
            yield f'"key":{_quoted(key)},"value":{_quoted(value)},"headers":{shown}}}'

    def _events(self, chunk: Chunk, start: int, count: int) -> Iterator[str]:
        offsets = chunk.records.column("offset").slice(start, count).to_pylist()
        sources = chunk.sources[start : start + count].tolist()
        rows = zip(offsets, sources, _contents(chunk, start, count), strict=True)
        for offset, source, (key, value, headers) in rows:
            context = chunk.contexts[source]
            shown: dict[str, Any] = {
                "key": bytes_json(key),
                "value": None if value is None else self._decoder.decode(value, context.schemas),
                "headers": [[each["name"], bytes_json(each["value"])] for each in headers],
            }
            if context.quarantine:
                shown["_error"] = context.errors.get((chunk.partition, offset), "quarantined")
            yield _compact(shown)[1:]


def _contents(
    chunk: Chunk, start: int, count: int
) -> Iterator[tuple[bytes | None, bytes | None, list[dict[str, Any]]]]:
    piece = chunk.records.slice(start, count)
    return zip(*(piece.column(name).to_pylist() for name in ("key", "value", "headers")), strict=True)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode("ascii")


def _quoted(value: bytes | None) -> str:
    return "null" if value is None else f'"{b64encode(value).decode("ascii")}"'
