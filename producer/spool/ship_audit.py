"""The audit events of a ship process: they wait in a folder of its own in the spool that it delivers, like an app's.

So they survive it, and whichever ship process delivers next delivers them too. What they tell: folder_books.py.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.event import ID_BYTES, Envelope, Event
from headrace.schemas.uuid7 import Uuid7

from ..auditing import AuditSettings
from ..record import Record
from . import ownership
from .folder_books import FolderBooks
from .limits import SpoolLimits
from .orphan_queue import OrphanQueue
from .separate_queue import SeparateQueue
from .tail_queue import TailQueue

SERVICE = "headrace-ship"


class ShipAudit:
    """One ship process's. Everything is called by the thread that delivers."""

    def __init__(
        self,
        spool: Path,
        *,
        host: str,
        limits: SpoolLimits,
        settings: AuditSettings,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        randomness: Callable[[int], bytes],
    ) -> None:
        """Make nothing but the service's folder; raise PermissionError where that may not be."""
        self._host = host
        self._limits = limits
        self._settings = settings
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._spool = spool
        self._session_id = randomness(ID_BYTES)
        self._ids = Uuid7(randomness)
        self._envelopes: dict[str, Envelope] = {}
        self._queue: SeparateQueue | None = None
        self._parent = ownership.service_folder(spool, SERVICE)
        self._seq = 0
        try:
            self._parent.mkdir(exist_ok=True)
        except PermissionError:
            raise
        except OSError:
            pass  # the disk may be full, and who delivers makes room

    def books(self, tail: TailQueue) -> FolderBooks | None:
        """Return the books of a folder; None: it holds audit events of a ship process, and nobody tells of those."""
        if self.is_own(tail.folder):
            return None
        service = unquote(tail.folder.parent.name)
        return FolderBooks(
            tail,
            lambda event: self.put(event, service),
            settings=self._settings,
            clock_ns=self._clock_ns,
            monotonic=self._monotonic,
        )

    def is_own(self, folder: Path) -> bool:
        """Whether a folder is a ship process's."""
        return folder.parent == self._parent

    def put(self, event: Event, service: str) -> bool:
        """Queue an audit event about a session of a service; return whether that was possible."""
        queue = self._opened()
        if queue is None:
            return False
        envelope = self._envelopes.get(service)
        if envelope is None:
            envelope = Envelope(service=service, host=self._host, session_id=self._session_id)
            self._envelopes[service] = envelope
        now_us = self._clock_ns() // 1000
        seq = self._seq + 1
        value = event.kafka_value(envelope, self._ids.next(now_us // 1000), seq, now_us, None)
        key = event.kafka_key(service)
        record = Record(AUDIT_TOPIC, key, value, now_us // 1000, seq, event.SCHEMA, event.TYPE)
        if not queue.append(record, force=True):
            return False
        self._seq = seq
        return True

    def tend(self) -> None:
        """Do the upkeep of the queue."""
        if self._queue is not None:
            self._queue.tend()

    @property
    def waiting(self) -> int:
        """How many audit events are not delivered, as far as the cursor told at the last look."""
        return 0 if self._queue is None else self._queue.depth()[0]

    def close(self) -> None:
        """Let go of the folder, and remove it when nothing is left in it. Its ship lock is free by now."""
        queue, self._queue = self._queue, None
        if queue is None:
            return
        queue.close()
        owned = ownership.adopt(queue.folder)
        if owned is not None:
            left = OrphanQueue(owned, limits=self._limits, clock_ns=self._clock_ns, monotonic=self._monotonic)
            left.read(1)  # so that it knows whether it is at the end
            left.close()

    def _opened(self) -> SeparateQueue | None:
        if self._queue is None:
            try:
                self._queue = SeparateQueue(
                    self._spool,
                    service=SERVICE,
                    host=self._host,
                    session_id=self._session_id,
                    limits=self._limits,
                    clock_ns=self._clock_ns,
                    monotonic=self._monotonic,
                )
            except OSError:
                return None  # there will be room again: the folders that are told of wait for it
        return self._queue
