"""The books of one folder: what became of a session's numbers, kept in the folder by whoever delivers it.

They lie in a file beside the cursor and are written before it, so that they hold all that the cursor passed: whoever
goes on after a SIGKILL goes on with the same books. What was lost is in them until an audit event that tells of it is
safe in another queue. Without the file, as when nobody kept books before, they begin where the cursor stands.
"""

import contextlib
import functools
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.schemas.catalog import AUDIT_TOPIC, builtin
from headrace.schemas.errors import SchemaError
from headrace.schemas.events import Audit
from headrace.schemas.frame import Decoder

from ..auditing import RANGES_MAX, Account, AuditSettings, Put, audit_event
from ..counted_queue import REFUSED, CountedQueue, OnLost
from ..ledger import Ledger
from ..record import Record
from .orphan_queue import OrphanQueue

FILE = "books"
_VERSION = 1
_EXPIRED = "expired"


class _Listening(CountedQueue):
    """Has the audit events that pass told of, too."""

    def __init__(self, queue: OrphanQueue, on_lost: OnLost, on_audit: Callable[[bytes], None]) -> None:
        super().__init__(queue, on_lost, before={})
        self._on_audit = on_audit

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions."""
        batch = super().read(records_max)
        for _, record in batch:
            if record.topic == AUDIT_TOPIC:
                self._on_audit(record.value)
        return batch


class FolderBooks:
    """Counts what is read from a folder's queue, through `counted`, and tells of it. One thread calls everything."""

    def __init__(
        self,
        queue: OrphanQueue,
        put: Put,
        *,
        settings: AuditSettings,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """`put` takes audit events, and returns whether they survive this process from now on."""
        self._queue = queue
        self._put = put
        self._settings = settings
        self._monotonic = monotonic
        self._session_id = bytes.fromhex(queue.folder.name.rpartition("-")[2])
        self._ledger = Ledger()
        self._torn = 0
        self._since_us = clock_ns() // 1000
        self._clock_ns = clock_ns
        self._told: dict[str, Account] = {}
        self._entries = 0
        self._last = monotonic()
        self._written = ""
        self._begun = False
        self._topics: set[str] = set()
        self.counted: CountedQueue = _Listening(queue, self._ledger.add, self._heard)
        """The queue as it is to be read."""
        queue.on_begin, queue.before_cursor, queue.before_removal = self._begin, self._write, self._settle
        if queue.start is not None:
            self._begin()

    def refuse(self, record: Record | None) -> None:
        """Take note that Kafka refused a record for good, before it is acknowledged."""
        if record is not None:
            self.counted.refuse(record)

    def report(self) -> None:
        """Tell of the session when it is time, if anything changed: soon after losses."""
        since = self._monotonic() - self._last
        urgent = since >= self._settings.losses_s and self._ledger.entries != self._entries
        if (since >= self._settings.interval_s or urgent) and self._begun and not self.counted.behind:
            self._last = self._monotonic()
            if self._tell(closed=False):
                self._entries = self._ledger.entries
            self._write(self._queue.lowest_unacked())

    def _heard(self, value: bytes) -> None:
        """Learn of which topics the session itself tells: there may be some of which it had every event refused."""
        try:
            event = _decoder().decode(value)
        except SchemaError:
            return
        if event.get("about_session") == self._session_id:
            self._topics.add(event["about_topic"])

    def _begin(self) -> None:
        self._begun = True
        start = self._queue.start
        position = None if start is None else start.position
        saved = read_books(self._queue.folder)
        # Whoever moved the cursor and kept no books left them behind: what they say is not true any more.
        if saved is not None and (position is None or position <= saved["counted"]["done"]):
            self._torn, self._topics = saved["torn"], set(saved["topics"])
            self._ledger.go_on(saved["ledger"])
            self.counted.go_on(saved["counted"]["next"] if position is None else position, saved["counted"])
        elif start is not None:
            self.counted.begin(position, self._queue.numbers_before())
        self._entries = -1 if self._ledger.has_untold else self._ledger.entries

    def _write(self, done: int) -> bool:
        """Write the books of when all before `done` is delivered; return whether that was possible."""
        ends = self._queue.torn_ends
        while ends:
            events = ends.pop()
            self._torn += events is None or not self.counted.torn(events)
        counted = self.counted.state(done)
        told = {"torn": self._torn, "topics": sorted(self._topics)}
        books = {**told, "counted": counted, "ledger": self._ledger.state()}
        text = json.dumps({"version": _VERSION, **books}, separators=(",", ":"))
        if text == self._written:
            return True
        path = self._queue.folder / FILE
        new = path.with_name(f"{FILE}.new")
        try:
            new.write_text(f"{text} {zlib.crc32(text.encode()):08x}\n")
            os.replace(new, path)  # noqa: PTH105 - what is meant is the system call
        except OSError:
            # Those that are there stay: the cursor will have passed them, and they are known by that.
            with contextlib.suppress(OSError):
                new.unlink()
            return False
        self._written = text
        return True

    def _settle(self) -> bool:
        """Tell of the session a last time, now that all is delivered; return whether that is safe."""
        if not self._begun:
            self._begin()
        done = self._queue.lowest_unacked()
        self.counted.end(done)
        kept = self._write(done)
        told = self._tell(closed=True)
        if not told and kept:
            self._queue.make_room()  # what is to be told of is in the books, which take less room
        return told

    def _tell(self, *, closed: bool) -> bool:
        """Queue what is new, a topic at a time; return whether all of it is."""
        for topic, account in self._accounts(closed=closed):
            if not closed and account == self._told.get(topic):
                continue
            while True:
                ranges = self._ledger.take(topic, RANGES_MAX)
                if not self._put(self._event(topic, account.telling(ranges), closed=closed)):
                    self._ledger.put_back(topic, ranges)
                    return False
                if len(ranges) < RANGES_MAX:
                    break
            self._told[topic] = account
        self._since_us = self._clock_ns() // 1000
        return True

    def _accounts(self, *, closed: bool) -> Iterator[tuple[str, Account]]:
        counted = self.counted
        waiting: dict[str, int] = {}
        for topic, _ in counted.waiting.values():
            waiting[topic] = waiting.get(topic, 0) + 1
        if closed:
            yield from ((topic, Account(0, 0, 0, 0, {})) for topic in sorted(self._topics - counted.last_seqs.keys()))
        for topic, last_seq in sorted(counted.last_seqs.items()):
            if topic == AUDIT_TOPIC:
                continue
            seen, waits = counted.seen.get(topic, 0), 0 if closed else waiting.get(topic, 0)
            lost = self._ledger.counts.get(topic, {})
            acked = max(seen - waits - lost.get(REFUSED, 0) - lost.get(_EXPIRED, 0), 0)
            yield topic, Account(last_seq, seen, acked, waits, self._ledger.own(topic))

    def _event(self, topic: str, account: Account, *, closed: bool) -> Audit:
        return audit_event(
            self._session_id,
            topic,
            account,
            reporter="ADOPTER",
            closed=closed,
            durability="DISK",
            since_us=self._since_us,
            first_seq=0,
            # Until the end a later event may tell which number and topic were lost.
            elsewhere=self._elsewhere() if closed else {},
            seconds=float("inf"),
        )

    def _elsewhere(self) -> dict[str, int]:
        found = dict(self.counted.passed)
        for counts in self._ledger.counts.values():
            for reason, count in counts.items():
                if reason in found:
                    found[reason] -= count
        if self._torn:
            found["torn"] = self._torn
        return {reason: count for reason, count in found.items() if count > 0}


@functools.cache
def _decoder() -> Decoder:
    return Decoder(builtin())


def read_books(folder: Path) -> Mapping[str, Any] | None:
    """Return a folder's books, or None where there are none that can be trusted."""
    try:
        text, _, crc = (folder / FILE).read_text().strip().rpartition(" ")
        if int(crc, 16) != zlib.crc32(text.encode()):
            return None
        found: Mapping[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return found if found.get("version") == _VERSION else None
