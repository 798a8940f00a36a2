"""One worker of a live run: reads its partitions for the rules, and decides for the rules that are its own.

Both go through the stream engine. Records of the source topics become cells in memory; at each checkpoint the cells are
sent to the topic of cells, by rule, in the same Kafka transaction that commits the offsets and the state. Whoever has
a rule's partition there adds the cells up, closes windows, and tells the sink before the checkpoint is committed: after
a kill it tells the same again, and sinks know it by fingerprint, state and window.
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from .decoding import EventDecoder
from .evaluator import Evaluator
from .kept_state import PartitionKeeper, Pieces, RuleKeeper
from .partial import Partial
from .partition_panes import PartitionPanes
from .rules import Rule
from .transition import OnPoints, Sink

OnRecords = Callable[[str, int], None]
"""Takes that so many more records of a topic were read."""
OnUncounted = Callable[[str, Mapping[str, int]], None]
"""Takes how many events a rule has not counted so far, by reason."""


class Engine(Protocol):
    """What a worker needs of the stream engine: quix_app.py."""

    def state(self, stream: str, partition: int, prefix: str) -> Pieces:
        """Return state that is committed with the checkpoint."""

    def produce(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        """Send a record that is committed with the checkpoint."""


class Worker:
    """One worker. `partitions`: of each source topic; `cells`: the topic of cells and its number of partitions.

    `learned`: returns an evaluator that knows a new rule's past, or None. `from_now`: see Evaluator.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        partitions: Mapping[str, int],
        cells: tuple[str, int],
        decoder: EventDecoder,
        *,
        sink: Sink,
        on_points: OnPoints,
        on_records: OnRecords = lambda _topic, _count: None,
        on_uncounted: OnUncounted = lambda _rule, _totals: None,
        learned: Callable[[Rule], Evaluator | None] = lambda _rule: None,
        from_now: bool = True,
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._partitions = partitions
        self._cells_topic, self._cells_partitions = cells
        self._decoder = decoder
        self._sink, self._on_points, self._learned = sink, on_points, learned
        self._on_records, self._on_uncounted = on_records, on_uncounted
        self._from_now = from_now
        self._reading: dict[tuple[str, int], PartitionKeeper] = {}
        self._deciding: dict[str, RuleKeeper] = {}
        self._dirty_reading: set[tuple[str, int]] = set()
        self._dirty_deciding: set[str] = set()
        self._read: Counter[str] = Counter()
        self._streams: dict[str, str] = {}
        self._engine: Engine | None = None

    def attach(self, engine: Engine, streams: Mapping[str, str]) -> None:
        """Take the engine, and the name of each topic's state."""
        self._engine, self._streams = engine, dict(streams)

    def forget(self) -> None:
        """Let go of all that is in memory: partitions have moved, and the state says what holds."""
        self._reading.clear()
        self._deciding.clear()
        self._dirty_reading.clear()
        self._dirty_deciding.clear()
        self._read.clear()

    # -- records of the source topics --------------------------------------------------------------------------------

    def record(self, topic: str, partition: int, value: bytes | None, timestamp_ms: int) -> None:
        """Take a record of a source topic."""
        place = topic, partition
        keeper = self._reading.get(place) or self._open_reading(place)
        self._dirty_reading.add(place)
        self._read[topic] += 1
        event = None if value is None else self._decoder.decode(value)
        if event is None:
            keeper.panes.malformed()
        else:
            keeper.panes.add(event, timestamp_ms * 1000 if timestamp_ms >= 0 else -1)

    def _open_reading(self, place: tuple[str, int]) -> PartitionKeeper:
        topic, partition = place
        own = [rule for rule in self._rules.values() if rule.topic == topic]
        keeper = PartitionKeeper(PartitionPanes(own, partition, self._partitions[topic]))
        keeper.load(self._state(topic, partition, "read"))
        self._reading[place] = keeper
        return keeper

    # -- cells and ticks ---------------------------------------------------------------------------------------------

    def message(self, partition: int, rule_name: str, body: bytes) -> None:
        """Take a message of the topic of cells; those of rules that are not known here are passed over."""
        rule = self._rules.get(rule_name)
        if rule is None:
            return
        value = json.loads(body)
        if "tick" not in value and value["definition"] != rule.definition:
            return
        keeper = self._deciding.get(rule_name) or self._open_rule(rule, partition)
        self._dirty_deciding.add(rule_name)
        if "tick" in value:
            keeper.evaluator.idle({int(number): us for number, us in value["tick"].items()}, value["partitions"])
        else:
            keeper.evaluator.merge(Partial.of_json(value))

    def _open_rule(self, rule: Rule, partition: int) -> RuleKeeper:
        keeper = RuleKeeper(Evaluator(rule, from_now=self._from_now))
        if not keeper.load(self._state(self._cells_topic, partition, rule.name)):
            teacher = self._learned(rule)
            if teacher is not None:
                keeper.evaluator.know(teacher)
        self._deciding[rule.name] = keeper
        return keeper

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Send cells, tell what rules say, and write state: the engine commits all of it next, or none."""
        engine = self._attached()
        for topic, partition in sorted(self._dirty_reading):
            keeper = self._reading[topic, partition]
            for partial in keeper.panes.take():
                for body in partial.messages():
                    key = partial.rule.encode()
                    engine.produce(self._cells_topic, partition_of(partial.rule, self._cells_partitions), key, body)
            keeper.save(self._state(topic, partition, "read"))
        for topic, count in self._read.items():
            self._on_records(topic, count)
        self._read.clear()
        self._dirty_reading.clear()
        for name in sorted(self._dirty_deciding):
            self._decide(name)
        self._dirty_deciding.clear()

    def _decide(self, name: str) -> None:
        keeper = self._deciding[name]
        closed = keeper.evaluator.close()
        if closed.points:
            self._on_points(closed.points)
        self._on_uncounted(name, keeper.evaluator.uncounted)
        if closed.transitions:
            self._sink.send(closed.transitions)
        keeper.save(self._state(self._cells_topic, partition_of(name, self._cells_partitions), name))

    def tick(self, topic: str) -> list[tuple[int, bytes]]:
        """Return where ticks about a topic go: the partition of the topic of cells, and the key, for each rule."""
        names = [rule.name for rule in self._rules.values() if rule.topic == topic]
        return [(partition_of(name, self._cells_partitions), name.encode()) for name in names]

    def _attached(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the worker has no engine yet: attach() it first")
        return self._engine

    def _state(self, topic: str, partition: int, prefix: str) -> Pieces:
        return self._attached().state(self._streams[topic], partition, prefix)


def partition_of(rule: str, partitions: int) -> int:
    """Return the partition of the topic of cells in which a rule's messages are."""
    return zlib.crc32(rule.encode()) % partitions
