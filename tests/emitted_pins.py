"""Pin events as plain dictionaries, produced with nothing of headrace, and the row that each must be in the archive.

The bytes come from fastavro and confluent-kafka. A row is the event's own fields and the record's, by column name; in
what a reader gives back, `_headers` is a list of (name, value).
"""

import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, TypeAlias

import fastavro
import pyarrow as pa
from confluent_kafka import KafkaError, Message, Producer
from plain_readers import Counts, Facts
from zoo_schemas import PIN, PIN_LATER, frame_of

Row: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str | bytes | None]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OWN = [field["name"] for field in json.loads(PIN)["fields"]]
ADDED = [field["name"] for field in json.loads(PIN_LATER)["fields"] if field["name"] not in OWN]
RECORD = ["_partition", "_offset", "_timestamp", "_timestamp_type", "_key", "_headers", "_frame", "_value", "_late"]
ACTIONS = ["CREATE", "SAVE", "LIKE", "UNKNOWN"]
KEYS = [b"user 7", b"", None, b"\xff\0"]
HEADERS: list[Headers] = [[], [("trace", b"1"), ("trace", None), ("", b"")], [], [("a", b"")]]


class EmittedPins:
    """Produces to one topic and remembers what must come of it. `now`: the time that events lie around."""

    def __init__(self, kafka: str, topic: str, *, partitions: int, now: datetime, rng: Random) -> None:
        self.rows: list[Row] = []
        self.quarantined: list[tuple[int, int]] = []
        self._now = now
        self._partitions = partitions
        self._topic = topic
        self._rng = rng
        self._producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})

    def events(self, count: int, *, later: bool = False) -> None:
        """Emit events of the last three dates; `later`: by the next version of the schema, which has more fields."""
        for number in range(count):
            event = self._event(self._now - timedelta(hours=number % 60, microseconds=number), later=later)
            self._event_row(event, later=later, dt=event["occurred_at"].date())

    def at_odd_times(self) -> None:
        """Emit events whose own time is absurd; they lie under the date of their arrival."""
        for time in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
            self._event_row(self._event(time), dt=self._now.date())

    def detours(self, count: int) -> None:
        """Emit events whose bytes decode and are not the canonical ones: they are kept whole beside their columns."""
        for _ in range(count):
            event = self._event(self._now)
            value = encoded(event)
            value = value[:-1] + bytes([value[-1] | 0x80, 0])  # the last number, longer than need be
            own = {**event, "_frame": None, "_value": value, "dt": self._now.date()}
            self._produce(value, own)

    def tombstones(self, count: int, *, days_ago: int) -> None:
        """Emit records without a value."""
        arrived = self._now - timedelta(days=days_ago)
        for _ in range(count):
            nothing = dict.fromkeys([*OWN, "_frame", "_value"])
            self._produce(None, {**nothing, "dt": arrived.date()}, arrived)

    def garbage(self, count: int) -> None:
        """Emit records that no schema decodes."""
        for number in range(count):
            self._produce(f"no event {number}".encode(), None)

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        assert self._producer.flush(120) == 0

    def _event(self, occurred_at: datetime, *, later: bool = False) -> Row:
        rng = self._rng
        event = {
            "event_id": rng.randbytes(16),
            "occurred_at": occurred_at,
            "service": rng.choice(["web", "", "Ünïcode ☂"]),
            "host": "host-1",
            "session_id": rng.randbytes(16),
            "seq": len(self.rows) + 1,
            "trace_id": rng.choice([None, rng.randbytes(16)]),
            # Beyond 2^53, where floating point loses the last digits.
            "user_id": rng.choice([1, -1]) * rng.randrange(1 << 53, 1 << 54) | 1,
            "pin_id": -rng.randrange(1 << 40),
            "board_id": rng.choice([None, rng.randrange(1 << 53, 1 << 62)]),
            "action": rng.choice(ACTIONS),
        }
        return event | ({"note": rng.choice([None, "", "a note"]), "weight": rng.randrange(9)} if later else {})

    def _event_row(self, event: Row, *, dt: date, later: bool = False) -> None:
        value = encoded(event, later=later)
        self._produce(value, {**event, "_frame": value[:10], "_value": None, "dt": dt})

    def _produce(self, value: bytes | None, own: Row | None, arrived: datetime | None = None) -> None:
        timestamp = ((arrived or self._now) - EPOCH) // timedelta(milliseconds=1)
        key, headers = self._rng.choice(KEYS), self._rng.choice(HEADERS)
        partition = self._rng.randrange(self._partitions)

        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            place = {"_partition": partition, "_offset": message.offset() or 0}
            if own is None:
                self.quarantined.append((partition, place["_offset"]))
                return
            record = {"_timestamp": timestamp, "_timestamp_type": 0, "_key": key, "_headers": headers, "_late": False}
            self.rows.append({**dict.fromkeys(ADDED), **own, **place, **record})

        self._producer.produce(
            self._topic, value, key, partition, on_delivery=delivered, timestamp=timestamp, headers=headers
        )
        self._producer.poll(0)


def encoded(event: Row, *, later: bool = False) -> bytes:
    """Return the framed value of an event."""
    text = PIN_LATER if later else PIN
    body = io.BytesIO()
    fastavro.schemaless_writer(body, _parsed(text), event)
    return frame_of(text) + body.getvalue()


def decoded(value: bytes) -> Row:
    """Return the event's own fields in a value that encoded() or a producer made, and its date."""
    event: Row = fastavro.schemaless_reader(io.BytesIO(value[10:]), _parsed(PIN))  # type: ignore[assignment]  # a record
    return {**event, "dt": event["occurred_at"].date()}


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def facts_of(rows: Iterable[Row]) -> Facts:
    """Work out by hand what an engine must say of these rows."""
    rows = list(rows)
    times = [(row["occurred_at"] - EPOCH) // timedelta(microseconds=1) for row in rows if row["occurred_at"]]
    return Facts(
        rows=len(rows),
        users=sum(row["user_id"] or 0 for row in rows),
        boards=sum(row["board_id"] is not None for row in rows),
        earliest_us=min(times),
        latest_us=max(times),
        by_dt=_counts(str(row["dt"]) for row in rows),
        by_action=_counts(row["action"] for row in rows),
    )


def _counts(values: Iterable[str | None]) -> Counts:
    counts: Counts = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows by partition and offset."""
    return sorted(rows, key=lambda row: (row["_partition"], row["_offset"]))


def rows_of(table: pa.Table) -> Iterator[Row]:
    """What a reader gave, row by row; the order of its columns and its choice of string type are its own."""
    for row in table.to_pylist():
        yield {**row, "_headers": [(header["name"], header["value"]) for header in row["_headers"]]}
