"""EventLog: what an app server uses. Takes typed events and delivers them to Kafka behind the app's back."""

import functools
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self

from headrace.schemas.event import ID_BYTES, Event
from headrace.schemas.personal import PersonalEvent

from . import forks
from .audited_log import process_log
from .auditing import AuditSettings
from .counts import Counts
from .environment import settings_from, with_file
from .exits import close_at_exit, close_at_multiprocessing_exit
from .greenlets import real_threads
from .pii_keys import PiiKeys, as_keys, keys_from_env
from .process_log import ProcessLog
from .queues import MemoryQueue, Queue
from .readings import Readings, Sink
from .spool.adoption import Adopter
from .spool.keeper import Keeper
from .spool.limits import SpoolLimits
from .spool.opening import SpoolSettings, open_queue, open_separate, usable
from .tracing import current_trace_id

P = ParamSpec("P")

_POLL_S = 0.005
_NAME = re.compile(r"[A-Za-z0-9._-]*")


class EventLog:
    """Logs typed events to Kafka. Make one at import time and use it from any thread and any forked worker.

    emit() never waits for Kafka and never raises into the app unless `strict`. Accepted events are delivered in order
    while the process lives, and flushed at exit for at most `close_timeout_s`. With `spool`, a folder, they wait in
    files: what the process leaves when it ends, however it ends, a later process of the service delivers. Without it,
    or when the folder cannot be used, they wait in a bounded queue in memory. Nothing is made before the first emit()
    of a process: no thread, no connection. With `when_full="block"` emit() waits up to `block_s_max` for room instead
    of dropping at once: for batch jobs.
    """

    def __init__(
        self,
        *,
        service: str,
        kafka: str = "",
        spool: str | os.PathLike[str] | None = None,
        spool_limits: SpoolLimits | None = None,
        ship: Literal["here", "separate"] = "here",
        strict: bool = False,
        topic_prefix: str = "",
        topic: str | None = None,
        host: str | None = None,
        when_full: Literal["drop", "block"] = "drop",
        block_s_max: float = 5.0,
        queue_records_max: int = 100_000,
        queue_bytes_max: int = 64 << 20,
        event_bytes_max: int = 900_000,
        close_timeout_s: float = 5.0,
        kafka_config: Mapping[str, Any] | None = None,
        audit: bool | AuditSettings = False,
        pii_keys: PiiKeys | Mapping[str, bytes] | str | os.PathLike[str] | None = None,
        trace_id: Callable[[], bytes | None] = current_trace_id,
        clock_ns: Callable[[], int] = time.time_ns,
        randomness: Callable[[int], bytes] = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        make_producer: Callable[[Mapping[str, Any]], Any] | None = None,
    ) -> None:
        """Check the arguments and keep them; raise ValueError for one that cannot work.

        Each type has its own topic, `topic_prefix` and its name; `topic` sends all types to that one instead.
        `kafka` is the bootstrap servers; `kafka_config` adds or overrides librdkafka settings (security, tuning).
        `ship="separate"` needs no Kafka, but a `spool`: `headrace ship` delivers what is in it, and this process never
        loads the Kafka client.
        `audit` sends audit events to the topic headrace.audit, which must exist.
        `pii_keys` protects fields labelled hmac: keys by id, the first for new events, or the path of a key file.
        """
        if not service:
            raise ValueError("service: give the name of the service that logs, such as 'web'")
        if ship not in ("here", "separate"):
            raise ValueError(f"ship: must be 'here' or 'separate', not {ship!r}")
        if ship == "here" and not kafka:
            raise ValueError("kafka: give the bootstrap servers, such as 'localhost:9092'")
        if ship == "separate" and spool is None:
            raise ValueError("ship='separate': give the spool folder too, from which `headrace ship` delivers")
        if not _NAME.fullmatch(topic_prefix):
            raise ValueError(f"topic_prefix: {topic_prefix!r} cannot begin a topic's name: use letters, digits, . _ -")
        if topic is not None and not (topic and _NAME.fullmatch(topic)):
            raise ValueError(f"topic: {topic!r} cannot be a topic's name: use letters, digits, . _ -")
        if when_full not in ("drop", "block"):
            raise ValueError(f"when_full: must be 'drop' or 'block', not {when_full!r}")
        MemoryQueue(queue_records_max=queue_records_max, queue_bytes_max=queue_bytes_max)  # checks its bounds
        self._spool = None
        self._durability = "memory"
        if spool is not None:
            self._spool = SpoolSettings(Path(spool).absolute(), spool_limits or SpoolLimits(), service)
            self._durability = "disk" if usable(self._spool) else "memory"
        self._ship = ship
        self._service = service
        self._host = host or socket.gethostname() or "unknown"
        self._strict = strict
        self._topic_prefix = topic_prefix
        self._topic = topic
        self._block_s_max = block_s_max if when_full == "block" else 0.0
        self._queue_records_max = queue_records_max
        self._queue_bytes_max = queue_bytes_max
        self._event_bytes_max = event_bytes_max
        self._close_timeout_s = close_timeout_s
        self._make_shipper = None
        if ship == "here":
            # Imported here, and at once: who ships apart never loads the Kafka client, who ships here not in emit().
            from .shipping_here import shipper_maker  # noqa: PLC0415

            self._make_shipper = shipper_maker(service, kafka, kafka_config or {}, make_producer, monotonic)
        self._threads = real_threads()
        self._audit = (AuditSettings() if audit else None) if isinstance(audit, bool) else audit
        self._pii = as_keys(pii_keys)
        self._trace_id = trace_id
        self._clock_ns = clock_ns
        self._randomness = randomness
        self._monotonic = monotonic
        self._sleep = sleep
        self._closed = False
        self._sinks: list[Sink] = []
        self._processes: dict[int, ProcessLog] = {}
        self._process: ProcessLog | None = None
        close_at_exit(self)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Make one from the environment; arguments given here win.

        HEADRACE_SERVICE, HEADRACE_KAFKA (both needed, but no HEADRACE_KAFKA where HEADRACE_SHIP is `separate`),
        HEADRACE_TOPIC_PREFIX, HEADRACE_STRICT (1 or 0), HEADRACE_KAFKA_CONFIG (a JSON object of librdkafka settings),
        HEADRACE_PII_KEYS or HEADRACE_PII_KEY_FILE, HEADRACE_AUDIT (1 or 0), HEADRACE_STATSD (HOST:PORT),
        HEADRACE_SHIP (`here` or `separate`), HEADRACE_SPOOL, and its bounds: HEADRACE_SPOOL_BYTES_MAX, _AGE_S_MAX,
        _FREE_BYTES_MIN, _SEGMENT_BYTES, _CLASSES (a JSON object). HEADRACE_CONFIG names a headrace.toml, whose sections
        [kafka], [producer] and [spool] say what these do not. Raises ValueError.
        """
        env, kafka = with_file(os.environ)
        settings = settings_from(env, kafka)
        if "pii_keys" not in overrides:
            settings["pii_keys"] = keys_from_env(env)
        settings |= overrides
        for name in ("service",) if settings["ship"] == "separate" else ("service", "kafka"):
            if not settings[name]:
                raise ValueError(f"HEADRACE_{name.upper()} is not set, and {name} was not given")
        statsd = settings.pop("statsd")
        log = cls(**settings)
        if statsd is not None:
            log.report_to(statsd)
        return log

    def emit(self, event: Event | Callable[P, Event], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Accept one event for delivery; return whether it was accepted. Never waits, never raises unless strict.

        `emit(Pin(user_id=7, ...))`, or `emit(Pin, user_id=7, ...)`: the second makes the event in here, so that a
        value that does not fit is counted like every other drop instead of being raised into the app by `Pin(...)`.
        Strict: raises InvalidEvent or TypeError for an event that can never be accepted; a full queue is only counted.
        """
        try:
            process = self._process
            if process is None or process.generation != forks.current:
                process = self._process_here()
            return self._emit(process, event, args, kwargs)
        except Exception:
            # The last line of "never raises": an error of ours, or of a class that is not ours.
            if self._strict:
                raise
            return False

    def _emit(self, process: ProcessLog, event: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        reason = "internal"
        try:
            if not isinstance(event, Event):
                reason = "not_an_event"
                if not (isinstance(event, type) and issubclass(event, Event)):
                    raise TypeError(f"emit() takes an event or an event class, not {type(event).__name__}")
                reason = "invalid"
                event = event(*args, **kwargs)
                reason = "internal"
            if isinstance(event, PersonalEvent):
                reason = "pii_key"
                event = event.with_tokens(self._pii.token)
                reason = "internal"
            size = event.body_bytes
            if size > self._event_bytes_max:
                reason = "oversize"
                raise ValueError(f"{event.TYPE}: {size} bytes, more than event_bytes_max ({self._event_bytes_max})")
            if self._block_s_max and process.queue.full(event.TYPE):
                self._wait_for_room(process, event.TYPE)
            return process.put(event, self._trace_id())
        except Exception as error:
            process.put_aside(reason, event, kwargs, error, self._trace_id() if reason == "oversize" else None)
            raise

    def _wait_for_room(self, process: ProcessLog, event_type: str) -> None:
        deadline = self._monotonic() + self._block_s_max
        while process.queue.full(event_type) and not process.closed and self._monotonic() < deadline:
            if not process.started:
                process.ship_here()
            self._sleep(_POLL_S)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was accepted before is delivered, for at most `timeout_s`; return whether it is.

        With ship='separate' that is what the ship process says about once a second.
        """
        process = self._process
        if process is None or process.generation != forks.generation():
            return True
        target = process.appended
        deadline = self._monotonic() + timeout_s
        while True:
            if process.queue.depth()[0] == 0 or process.shipper.delivered_to >= target:
                return True
            if self._monotonic() >= deadline:
                return False
            if not process.started:
                process.ship_here()
            self._sleep(_POLL_S)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Stop accepting, flush for at most `timeout_s`, and stop; return whether everything was delivered.

        Runs by itself when the process exits. What is left then stays in the spool for the service's next process;
        without a spool it is lost, and counted as `undelivered`. With ship='separate' nothing is waited for: it
        returns whether everything is in the spool.
        """
        self._closed = True
        process = self._process
        if process is None or process.generation != forks.generation():
            return True
        deadline = self._monotonic() + timeout_s
        first = not process.closed
        process.closed = True
        if isinstance(process.shipper, Keeper):
            process.shipper.advance()  # what is in memory has one more chance to get to the disk
            done = process.queue.durability == "disk" or process.queue.depth()[0] == 0
        else:
            done = self.flush(timeout_s)
        if first:
            process.close_account(lambda: self.flush(max(deadline - self._monotonic(), 0.5)), done=done)
        left = max(deadline - self._monotonic(), 0.5)
        process.stop(left, self._monotonic, lambda: self._sleep(_POLL_S))
        if first and process.queue.durability == "memory":
            process.drop_undelivered()
        process.reporter.stop(max(deadline - self._monotonic(), 0.5), self._monotonic, lambda: self._sleep(_POLL_S))
        return done

    def counts(self) -> Counts:
        """Return what this process's log did: emitted, accepted, acked, queued, dropped by reason, durability."""
        process = self._process
        if process is None or process.generation != forks.generation():
            return Counts(durability=self._durability)
        return process.counts()

    def readings(self) -> Readings:
        """Return what the instruments show: the counts, the queue's bytes and age, and when it would drop events."""
        process = self._process
        if process is None or process.generation != forks.generation():
            return Readings(self.counts())
        return process.readings()

    def report_to(self, sink: Sink) -> None:
        """Give a sink this log's readings once a second from now on, in each process that emits, on a thread."""
        self._sinks.append(sink)
        process = self._process
        if process is not None and process.generation == forks.generation() and process.started:
            process.reporter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_in_time()

    def close_in_time(self) -> None:
        """Close it within `close_timeout_s`: what runs when the process exits."""
        self.close(self._close_timeout_s)

    def _process_here(self) -> ProcessLog:
        """Return this process's half, made at its first emit(). Takes no lock: a forked child may have inherited one.

        Threads that come at the same moment may each make one; setdefault, which is atomic, lets one of them win. An
        inherited half is kept for ever: dropping it would destroy what belongs to the parent.
        """
        generation = forks.generation()
        process = self._processes.get(generation)
        if process is None:
            made = self._make(generation)
            process = self._processes.setdefault(generation, made)
            if process is not made:
                made.queue.close()
        process.closed = self._closed
        self._process = process
        close_at_multiprocessing_exit(self)
        return process

    def _topic_of(self, event_type: str) -> str:
        return self._topic or self._topic_prefix + event_type

    def _make(self, generation: int) -> ProcessLog:
        session_id = self._randomness(ID_BYTES)
        make_shipper = self._make_shipper
        clocks: dict[str, Any] = {"clock_ns": self._clock_ns, "monotonic": self._monotonic}
        reopen = functools.partial(open_separate, self._spool, self._host, session_id, **clocks)
        queue: Queue | None = None
        adopter: Adopter | None = None
        if make_shipper is None:
            queue = reopen(warn=True)
        elif self._spool is not None:
            queue, adopter = open_queue(self._spool, self._host, session_id, make_shipper, **clocks)
        if queue is None:
            queue = MemoryQueue(queue_records_max=self._queue_records_max, queue_bytes_max=self._queue_bytes_max)
        process = process_log(
            self._audit,
            queue,
            make_shipper or Keeper,
            generation=generation,
            service=self._service,
            host=self._host,
            topic_of=self._topic_of,
            adopter=adopter,
            session_id=session_id,
            threads=self._threads,
            sinks=self._sinks,
            clock_ns=self._clock_ns,
            monotonic=self._monotonic,
            randomness=self._randomness,
        )
        if isinstance(process.shipper, Keeper):
            process.shipper.on_memory(reopen, process.move_to)
        return process
