"""Wires a live run together: topics, first positions, the engine, ticks, and the worker."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.schemas.frame import SchemaTexts

from .decoding import EventDecoder
from .evaluator import Evaluator
from .rules import Rule
from .ticks import KafkaEnds, Ticker, TickThread, tick_message
from .transition import OnPoints, Sink
from .worker import OnRecords, OnUncounted, Worker

log = logging.getLogger("headrace.monitor")

REQUEST_TIMEOUT_S = 30.0
BEGIN_ATTEMPTS_MAX = 60
_HAS_BEGUN = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS)
# What a broker says that has just started, or has just got a group from another.
_PASSING = (
    *(KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
    *(KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._WAIT_COORD),
)


class MonitorUnusable(RuntimeError):
    """A live run cannot begin, or cannot go on: what, where, why, and what to do."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How a run is done. `group`: workers of one group share the work; `state_folder`: this worker's own.

    `from_start`: a group that is new reads its topics from their first record, instead of from now on. `settle_s`: see
    ticks.py.
    """

    kafka: Mapping[str, Any]
    group: str
    state_folder: Path
    cells_topic: str
    cells_partitions: int = 2
    from_start: bool = False
    commit_interval_s: float = 0.5
    tick_s: float = 1.0
    settle_s: float = 1.0


class LiveRun:
    """One worker process. `run()` returns after `stop()`, which may be called from a signal handler's thread."""

    def __init__(
        self,
        rules: Sequence[Rule],
        texts: SchemaTexts,
        settings: LiveSettings,
        *,
        sink: Sink,
        on_points: OnPoints,
        now_us: Callable[[], int],
        on_records: OnRecords = lambda _topic, _count: None,
        on_uncounted: OnUncounted = lambda _rule, _totals: None,
        learned: Callable[[Rule], Evaluator | None] = lambda _rule: None,
    ) -> None:
        # The engine is imported here, so that all else can be used and tested without it.
        from .quix_app import EngineApplication, topic_config  # noqa: PLC0415

        self._settings = settings
        self._lock = threading.Lock()
        self._places: list[tuple[str, int]] = []
        topics = sorted({rule.topic for rule in rules})
        self._partitions, replicas = partitions_of(settings.kafka, topics)
        begin(settings.kafka, settings.group, self._partitions, from_start=settings.from_start)
        self._worker = Worker(
            rules,
            self._partitions,
            (settings.cells_topic, settings.cells_partitions),
            EventDecoder(texts),
            sink=sink,
            on_points=on_points,
            on_records=on_records,
            on_uncounted=on_uncounted,
            learned=learned,
            from_now=not settings.from_start,
        )
        self._app = EngineApplication(
            settings.kafka,
            settings.group,
            settings.state_folder,
            commit_interval_s=settings.commit_interval_s,
            at_checkpoint=self._worker.checkpoint,
            moved=self._moved,
        )
        streams = {topic: self._app.records(topic, self._worker.record) for topic in topics}
        streams[settings.cells_topic] = self._app.cells(
            settings.cells_topic, topic_config(settings.cells_partitions, replicas), self._worker.message
        )
        self._worker.attach(self._app, streams)
        self._producer = Producer({**settings.kafka, "enable.idempotence": True, "linger.ms": 5})
        self._ends = KafkaEnds(settings.kafka, settings.group)
        self._ticks = TickThread(
            Ticker(self._ends, settle_us=int(settings.settle_s * 1e6)),
            places=self._own_places,
            send=self._send_tick,
            now_us=now_us,
            every_s=settings.tick_s,
        )

    def run(self) -> None:
        """Read and decide until stop(). Raises what the engine, Kafka or the sink raise."""
        self._ticks.start()
        try:
            self._app.run(collect=False)
        finally:
            self._ticks.close()
            self._producer.flush(REQUEST_TIMEOUT_S)
            self._ends.close()

    def stop(self) -> None:
        """Have run() commit what it has, and return."""
        self._app.stop()

    def _moved(self, places: list[tuple[str, int]]) -> None:
        self._worker.forget()
        with self._lock:
            self._places = [place for place in places if place[0] in self._partitions]

    def _own_places(self) -> list[tuple[str, int]]:
        with self._lock:
            return list(self._places)

    def _send_tick(self, topic: str, watermarks: Mapping[int, int]) -> None:
        body = tick_message(self._partitions[topic], watermarks)
        for partition, key in self._worker.tick(topic):
            self._producer.produce(self._settings.cells_topic, body, key, partition)
        self._producer.poll(0)


def partitions_of(kafka: Mapping[str, Any], topics: Sequence[str]) -> tuple[dict[str, int], int]:
    """Return how many partitions each topic has, and how many replicas the most. Raises MonitorUnusable."""
    try:
        known = AdminClient(dict(kafka)).list_topics(timeout=REQUEST_TIMEOUT_S).topics
    except KafkaException as error:
        raise MonitorUnusable(f"Kafka cannot be asked for its topics: {error.args[0].str()}") from error
    missing = [topic for topic in topics if topic not in known or known[topic].error is not None]
    if missing:
        raise MonitorUnusable(
            f"Kafka has no topic {', '.join(missing)}, or this user may not see it: create it, or leave out the rules "
            "about it"
        )
    replicas = max(len(each.replicas) for topic in topics for each in known[topic].partitions.values())
    return {topic: len(known[topic].partitions) for topic in topics}, replicas


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def begin(
    kafka: Mapping[str, Any],
    group: str,
    partitions: Mapping[str, int],
    *,
    from_start: bool,
    pause: Callable[[float], object] = _pause,
) -> None:
    """Commit a first position for partitions for which the group has none, before any worker reads.

    So a worker that is killed before its first commit does not skip what came in between. Raises MonitorUnusable.
    """
    consumer = Consumer({**kafka, "group.id": group, "enable.auto.commit": False})
    try:
        for attempt in range(BEGIN_ATTEMPTS_MAX):
            try:
                _begin(consumer, group, partitions, from_start=from_start)
                return
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() in _HAS_BEGUN:
                    return  # another worker has begun already, with the positions that it committed
                if reason.code() not in _PASSING or attempt + 1 == BEGIN_ATTEMPTS_MAX:
                    said = f"the positions of group {group} cannot be read and set: {reason.str()}"
                    raise MonitorUnusable(said) from error
                pause(1.0)
    finally:
        consumer.close()


def _begin(consumer: Consumer, group: str, partitions: Mapping[str, int], *, from_start: bool) -> None:
    places = [TopicPartition(topic, n) for topic, count in partitions.items() for n in range(count)]
    found = consumer.committed(places, REQUEST_TIMEOUT_S)
    for each in found:
        if each.error is not None:
            raise KafkaException(each.error)
    new = [TopicPartition(each.topic, each.partition) for each in found if each.offset < 0]
    if not new:
        return
    for each in new:
        low, high = consumer.get_watermark_offsets(each, timeout=REQUEST_TIMEOUT_S)
        each.offset = low if from_start else high
    log.info("group %s is new to %d partitions: it begins at their %s", group, len(new), _where(from_start))
    consumer.commit(offsets=new, asynchronous=False)


def _where(from_start: bool) -> str:
    return "start" if from_start else "end"
