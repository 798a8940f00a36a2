"""What is compared: headrace in its modes, a bare loop around confluent-kafka, and Python's logging to a file.

Each subject logs the same pin event, 84 bytes with frame and envelope. `log(n)` is one call of the app's thread;
`done()` waits until all is delivered (or written).
"""

import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import fastavro
from confluent_kafka import Producer

from headrace.producer import EventLog
from headrace.producer.kafka_settings import producer_config
from headrace.schemas import Pin

HOST = "web-12.internal"
SERVICE = "web"
DONE_TIMEOUT_S = 120.0
_SCHEMA = fastavro.parse_schema(json.loads(Pin.SCHEMA))


class Subject(Protocol):
    """One way to log an event."""

    def log(self, number: int) -> None:
        """Log one event."""

    def done(self) -> None:
        """Wait until all is delivered; raise when it is not in time."""

    def close(self) -> None:
        """Give everything back."""


class Encoding:
    """Only the encoding with fastavro, of a dictionary that is there already: what emit() is measured against."""

    def __init__(self) -> None:
        self._fields = {
            "event_id": os.urandom(16), "occurred_at": time.time_ns() // 1000, "service": SERVICE, "host": HOST,
            "session_id": os.urandom(16), "seq": 123_456, "trace_id": None,
            "user_id": 7_654_321, "pin_id": 123_456_789, "board_id": None, "action": "SAVE",
        }  # fmt: skip

    def encoded(self) -> bytes:
        """Return the framed event."""
        stream = io.BytesIO()
        stream.write(Pin.FRAME)
        fastavro.schemaless_writer(stream, _SCHEMA, self._fields)
        return stream.getvalue()

    def next(self, number: int) -> bytes:
        """Return the framed event with what changes from one to the next."""
        fields = self._fields
        fields["event_id"] = os.urandom(16)
        fields["occurred_at"] = time.time_ns() // 1000
        fields["seq"] = number
        fields["user_id"], fields["pin_id"] = 7_000_000 + number, 123_000_000 + number
        return self.encoded()

    def log(self, number: int) -> None:  # noqa: ARG002 - the contract's
        """Encode."""
        self.encoded()

    def done(self) -> None:
        """Nothing is on its way."""

    def close(self) -> None:
        """Nothing is held."""


class Bare:
    """Encodes with fastavro and calls produce() on the spot: the same guarantees asked of Kafka, and nothing else."""

    def __init__(self, kafka: str) -> None:
        self._encoding = Encoding()
        # Room for all of a run, so that a full queue never ends it; errors that a run would hide are counted.
        self._producer = Producer(producer_config(SERVICE, kafka) | {"queue.buffering.max.messages": 1_000_000})
        self._sent = self._delivered = 0

    def log(self, number: int) -> None:
        """Encode and produce; serve delivery reports now and then, as its documentation says."""
        key = b"%d" % (7_000_000 + number)
        self._producer.produce("pin", value=self._encoding.next(number), key=key, on_delivery=self._report)
        self._sent += 1
        if number % 100 == 0:
            self._producer.poll(0)

    def _report(self, error: Any, _: object) -> None:
        if error is None:
            self._delivered += 1

    def done(self) -> None:
        """Flush."""
        self._producer.flush(DONE_TIMEOUT_S)
        if self._delivered != self._sent:
            raise RuntimeError(f"bare loop: {self._sent - self._delivered} of {self._sent} were not delivered")

    def close(self) -> None:
        """Drop what is left."""
        self._producer.purge()


class Headrace:
    """emit(), with the event made on the spot. `spool`: None for the queue in memory."""

    def __init__(self, kafka: str, spool: Path | None, *, block: bool = False) -> None:
        more: dict[str, Any] = {"when_full": "block", "block_s_max": DONE_TIMEOUT_S} if block else {}
        self.events = EventLog(service=SERVICE, kafka=kafka, spool=spool, host=HOST, **more)

    def log(self, number: int) -> None:
        """Make and emit."""
        self.events.emit(Pin(user_id=7_000_000 + number, pin_id=123_000_000 + number, action="SAVE"))

    def done(self) -> None:
        """Flush."""
        self.events.flush(DONE_TIMEOUT_S)
        counts = self.events.counts()
        if counts.acked != counts.emitted:
            raise RuntimeError(f"headrace: not all was delivered: {counts}")

    def close(self) -> None:
        """Close."""
        self.events.close(0.5)


class HeadraceShip:
    """emit() into a spool from which `headrace ship` delivers at the same time, in a process of its own."""

    def __init__(self, kafka: str, spool: Path) -> None:
        self.events = EventLog(service=SERVICE, spool=spool, host=HOST, ship="separate")
        self.log(0)
        code = "from headrace.cli.main import main; main()"
        self._ship = subprocess.Popen([sys.executable, "-c", code, "ship", str(spool), "--kafka", kafka])

    def log(self, number: int) -> None:
        """Make and emit."""
        self.events.emit(Pin(user_id=7_000_000 + number, pin_id=123_000_000 + number, action="SAVE"))

    def done(self) -> None:
        """Wait until the other process has delivered all."""
        if not self.events.flush(DONE_TIMEOUT_S):
            raise RuntimeError(f"headrace ship: not all was delivered: {self.events.counts()}")

    def close(self) -> None:
        """Close, and end the other process."""
        self.events.close(0.5)
        self._ship.terminate()
        self._ship.wait(30)


class EmitAlone:
    """emit() of an event that exists already."""

    def __init__(self, of: Headrace) -> None:
        self._emit = of.events.emit
        self._event = Pin(user_id=7_654_321, pin_id=123_456_789, action="SAVE")
        self.done, self.close = of.done, of.close

    def log(self, number: int) -> None:  # noqa: ARG002 - the contract's
        """Emit."""
        self._emit(self._event)


class LoggingToFile:
    """Python's own logging, a line of text into a file."""

    def __init__(self, folder: Path) -> None:
        self._logger = logging.getLogger("bench")
        self._logger.propagate = False
        self._logger.setLevel(logging.INFO)
        self._handler = logging.FileHandler(folder / "pin.log")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        self._logger.addHandler(self._handler)

    def log(self, number: int) -> None:
        """Log a line."""
        self._logger.info("pin user_id=%d pin_id=%d action=%s", 7_000_000 + number, 123_000_000 + number, "SAVE")

    def done(self) -> None:
        """All is written when a call returns."""

    def close(self) -> None:
        """Close the file."""
        self._logger.removeHandler(self._handler)
        self._handler.close()


def make(name: str, kafka: str, folder: Path) -> Subject:
    """Return a subject by its name."""
    makers: dict[str, Callable[[], Subject]] = {
        "encoding alone": Encoding,
        "bare loop": lambda: Bare(kafka),
        "logging to a file": lambda: LoggingToFile(folder),
        "spool on disk": lambda: Headrace(kafka, folder / "spool"),
        "spool on disk, headrace ship": lambda: HeadraceShip(kafka, folder / "spool"),
        "queue in memory": lambda: Headrace(kafka, None),
        "queue in memory, waiting for room": lambda: Headrace(kafka, None, block=True),
    }
    return makers[name]()


def event_bytes() -> int:
    """Return how many bytes the event has, framed: by fastavro, and headrace must agree."""
    return len(Encoding().encoded())
