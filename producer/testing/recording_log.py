"""RecordingLog: an EventLog that keeps what it accepts instead of delivering it. A supported part of headrace.

It is the real EventLog up to the queue: the same argument checks, numbering, encoding, protection of personal fields,
and counts. tests/contract/test_event_log.py holds both to one contract. It has no thread and no connection, so that an
event is there as soon as emit() returns.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from headrace.schemas.event import ID_BYTES, Event
from headrace.schemas.frame import decode

from ..event_log import EventLog
from ..process_log import ProcessLog
from ..queues import MemoryQueue, Queue
from ..record import Record


@dataclass(frozen=True)
class Logged:
    """One accepted event, and the record that Kafka would have got."""

    event: Event
    """As it was queued: personal fields hold tokens."""
    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """All fields as a reader decodes them, envelope first."""
        return MappingProxyType(decode(self.value, {self.event.FINGERPRINT: self.event.SCHEMA}))


class RecordingLog(EventLog):
    """Takes the arguments of EventLog; `service` and `kafka` have defaults, `spool` and `ship` are left unused.

    `logged` and `events` hold what was accepted, oldest first, of all topics. Everything counts as delivered at once.
    """

    def __init__(self, *, service: str = "test", kafka: str = "recording", **settings: Any) -> None:
        settings.pop("spool", None)
        settings.pop("ship", None)
        super().__init__(service=service, kafka=kafka, **settings)
        self.logged: list[Logged] = []
        self._refusal: str | None = None

    @property
    def events(self) -> list[Event]:
        """The accepted events, oldest first."""
        return [each.event for each in self.logged]

    def clear(self) -> None:
        """Forget what was logged; numbers and counts go on."""
        self.logged.clear()

    @contextlib.contextmanager
    def refusing(self, reason: str = "full") -> Iterator[None]:
        """Have emit() say False within this context and count `reason`, as with a full queue: what does your app do?"""
        before, self._refusal = self._refusal, reason
        try:
            yield
        finally:
            self._refusal = before

    def token(self, value: bytes) -> str:
        """Return what a personal value looks like under this log's key; raise MissingPiiKey without one."""
        return self._pii.token(value)

    def _make(self, generation: int) -> ProcessLog:
        return _RecordingProcess(
            keep=self.logged.append,
            refusal=lambda: self._refusal,
            generation=generation,
            service=self._service,
            host=self._host,
            topic_of=self._topic_of,
            session_id=self._randomness(ID_BYTES),
            clock_ns=self._clock_ns,
            randomness=self._randomness,
        )


class _RecordingProcess(ProcessLog):
    """A process's half that keeps each event together with its record, and starts no thread."""

    def __init__(self, *, keep: Callable[[Logged], None], refusal: Callable[[], str | None], **settings: Any) -> None:
        self._kept = _Kept(refusal)
        super().__init__(queue=self._kept, make_sender=lambda _: _Delivered(self._kept), **settings)
        self._keep = keep
        self._started = True  # there is no thread to start

    def _queue_event(
        self, event: Event, trace_id: bytes | None, *, force: bool = False, to: Queue | None = None
    ) -> bool:
        accepted = super()._queue_event(event, trace_id, force=force, to=to)
        record = self._kept.last
        if accepted and record is not None:
            self._keep(Logged(event, record.topic, record.key, record.value, record.timestamp_ms))
        return accepted


class _Kept(MemoryQueue):
    """A queue that lets go of each record at once."""

    def __init__(self, refusal: Callable[[], str | None]) -> None:
        super().__init__(queue_records_max=1, queue_bytes_max=1)
        self._refusal = refusal
        self.last: Record | None = None
        self.taken = 0

    def append(self, record: Record, *, force: bool = False) -> bool:
        """Take a record, or say why not."""
        refusal = self._refusal()
        if refusal is not None and not force:
            self.refusal = refusal
            return False
        self.last = record
        self.taken += 1
        return True

    def full(self, event_type: str = "") -> bool:  # noqa: ARG002 - the contract's
        """Tell whether the log refuses now."""
        return self._refusal() is not None

    def lowest_unacked(self) -> int:
        """All that was taken is delivered."""
        return self.taken


class _Delivered:
    """In the shipper's place: all that was taken is delivered."""

    restarts = 0
    schemas_failed = 0
    last_error: str | None = None
    stopped = True
    idle = False

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    @property
    def acked(self) -> int:
        """How many records were delivered."""
        return self._kept.taken

    @property
    def delivered_to(self) -> int:
        """Up to which position all is delivered."""
        return self._kept.taken

    def nudge(self) -> None:
        """Nobody sleeps."""

    def stop(self) -> None:
        """Nothing runs."""

    def run(self) -> None:
        """There is nothing to do."""

    def advance(self) -> bool:
        """There is nothing to do."""
        return False
