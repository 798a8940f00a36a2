"""What is queued: one record, ready for Kafka, with what a later process needs to ship it without the event's class."""

from typing import NamedTuple

# What a queued record costs in Python's memory beside its key and value: the tuple, its objects and their headers.
RECORD_OVERHEAD_BYTES = 400
# A named tuple's own way to be made takes twice as long: new_record(Record, (all its fields)).
new_record = tuple.__new__


class Record(NamedTuple):
    """One framed event. `timestamp_ms` is the Kafka record's; `schema_text` the writer's schema, shared by its type;
    `event_type` matters only while it is appended: it decides which events a full queue refuses first."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int
    seq: int
    schema_text: str
    event_type: str = ""

    @property
    def fingerprint(self) -> bytes:
        """The writer schema's fingerprint, 8 bytes, out of the value's frame."""
        return self.value[2:10]

    @property
    def queued_bytes(self) -> int:
        """What the record counts for in the queue's byte bound."""
        return len(self.value) + len(self.key or b"") + RECORD_OVERHEAD_BYTES
