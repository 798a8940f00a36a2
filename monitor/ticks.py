"""Finds out which partitions hold nothing unread, and up to which time: so that windows close when a stream stops.

A tick says: at this moment of the clock the group had processed all that the partition held, so up to then (less
`settle`, the time that a record may need from its timestamp to the log) nothing is missing. What was processed is what
the group has committed: cells and offsets are committed together, so a tick that is sent after never overtakes cells.
"""

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # its own name for it

log = logging.getLogger("headrace.monitor")

REQUEST_TIMEOUT_S = 10.0
PEEK_S = 2.0
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
Place = tuple[str, int]


class Ends(Protocol):
    """What is asked of Kafka."""

    def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Return the offset after the last one that can be read, of each partition. Raises KafkaException."""

    def processed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Return the next offset that the group has committed, of each partition; negative: none."""

    def is_end(self, place: Place, offset: int) -> bool:
        """Say whether there is no record from an offset on (behind it there may be markers of transactions)."""


class KafkaEnds:
    """Asks Kafka, with a consumer that never joins the group. Used by one thread."""

    def __init__(self, kafka: Mapping[str, Any], group: str) -> None:
        self._admin = AdminClient(dict(kafka))
        settings = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
        self._consumer = Consumer({**kafka, **settings, "isolation.level": "read_committed"})

    def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """See Ends."""
        asked = {TopicPartition(*place): LATEST for place in places}
        found = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_TIMEOUT_S
        )
        return {(each.topic, each.partition): future.result().offset for each, future in found.items()}

    def processed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """See Ends."""
        found = self._consumer.committed([TopicPartition(*place) for place in places], REQUEST_TIMEOUT_S)
        for each in found:
            if each.error is not None:
                raise KafkaException(each.error)
        return {(each.topic, each.partition): each.offset for each in found}

    def is_end(self, place: Place, offset: int) -> bool:
        """See Ends."""
        self._consumer.assign([TopicPartition(*place, offset)])
        try:
            message = self._consumer.poll(PEEK_S)
            error = None if message is None else message.error()
            return error is not None and error.code() == KafkaError._PARTITION_EOF
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


class Ticker:
    """Decides what can be said of some partitions at a moment. Remembers where each stood the last time."""

    def __init__(self, ends: Ends, *, settle_us: int) -> None:
        self._ends = ends
        self._settle_us = settle_us
        self._stood: dict[Place, int] = {}

    def look(self, places: Collection[Place], now_us: int) -> dict[Place, int]:
        """Return the time up to which nothing is missing, for those partitions that hold nothing unread."""
        ends = self._ends.ends(places)
        processed = self._ends.processed(places)
        found = {}
        for place in places:
            at = processed.get(place, -1)
            done = at >= ends[place] or ends[place] == 0
            if not done and at >= 0 and self._stood.get(place) == at:
                done = self._ends.is_end(place, at)
            self._stood[place] = at
            if done:
                found[place] = now_us - self._settle_us
        return found


def tick_message(partitions: int, watermarks: Mapping[int, int]) -> bytes:
    """Return a tick for the rules of one topic: partition -> microseconds."""
    return json.dumps({"tick": watermarks, "partitions": partitions}, separators=(",", ":")).encode()


class TickThread:
    """Sends ticks on a thread of its own, `every_s`. `places`: which partitions are this worker's; `send`: one tick."""

    def __init__(
        self,
        ticker: Ticker,
        *,
        places: Callable[[], Sequence[Place]],
        send: Callable[[str, Mapping[int, int]], None],
        now_us: Callable[[], int],
        every_s: float,
    ) -> None:
        self._ticker, self._places, self._send, self._now_us, self._every_s = ticker, places, send, now_us, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-ticks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and wait for it."""
        self._ended.set()
        self._thread.join(REQUEST_TIMEOUT_S * 3)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            places = self._places()
            if not places:
                continue
            try:
                found = self._ticker.look(places, self._now_us())
                for topic in sorted({topic for topic, _ in found}):
                    self._send(topic, {number: us for (of, number), us in found.items() if of == topic})
            except KafkaException as error:
                # Windows that only the clock would close wait until Kafka answers again; nothing is lost.
                log.warning("partitions without events could not be looked at: %s", error.args[0].str())
