"""Whether a worker is in its group, and whether the group leaves a partition to nobody.

A static member that dies between giving a partition up and joining again (the two steps of a cooperative rebalance,
KIP-429) comes back under its name (KIP-345). The group is stable, so it is given what was planned for it last, without
that partition, and nobody plans anew: the partition is nobody's until something else makes the group plan. Neither the
client nor the broker tells. So each member looks at the group's description now and then, and one of them leaves and
joins again, which makes the group plan.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from .kafka_metadata import CONSUMER_ONLY, REQUEST_TIMEOUT_S
from .source import SourceError, TopicPartition

LOOK_S = 20.0
LOOKS = 3
"""A partition that is nobody's in so many looks, one after the other, will stay so: a rebalance is over by then."""
LOOKS_MAX = 64 * LOOKS
REJOIN_S_MAX = 90.0  # several session timeouts


class Unowned:
    """Asks for the group's description, without waiting. `topics`: those that certainly belong to the subscription."""

    def __init__(
        self, config: Mapping[str, Any], topics: Collection[str], *, monotonic: Callable[[], float], look_s: float
    ) -> None:
        self._group = str(config["group.id"])
        self._topics = set(topics)
        self._monotonic = monotonic
        self._look_s = look_s
        self._next_s = monotonic() + look_s
        settings: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
        settings.update({name: value for name, value in config.items() if not name.startswith(CONSUMER_ONLY)})
        self._admin = AdminClient(settings)
        self._asked: tuple[Future[Any], Mapping[str, Future[Any]]] | None = None
        self._seen: dict[TopicPartition, int] = {}
        self._looks = LOOKS

    def add(self, topics: Collection[str]) -> None:
        """Take note of topics that belong to the subscription too."""
        self._topics.update(topics)

    def look(self, member_id: str) -> list[TopicPartition]:
        """Return what stays nobody's, if it is this member that is to do something about it. Never waits or raises."""
        if self._asked is None:
            if self._monotonic() >= self._next_s and self._topics:
                self._ask()
            return []
        group, topics = self._asked
        if not (group.done() and all(each.done() for each in topics.values())):
            return []
        self._asked = None
        self._next_s = self._monotonic() + self._look_s
        try:
            described = group.result()
        except KafkaException:
            return []  # away, or not allowed: that tells nothing
        left = self._left(described, topics)
        self._seen = {partition: self._seen.get(partition, 0) + 1 for partition in left}
        if not left:
            self._looks = LOOKS
        found = sorted(partition for partition, times in self._seen.items() if times >= self._looks)
        if not found:
            return []
        # Where planning anew does not help (who plans may not see the topic, say), it is done ever more seldom.
        self._seen, self._looks = {}, min(2 * self._looks, LOOKS_MAX)
        # One member is enough, and all see the same.
        return found if member_id == min(str(member.member_id) for member in described.members) else []

    def _ask(self) -> None:
        try:
            group = self._admin.describe_consumer_groups([self._group], request_timeout=REQUEST_TIMEOUT_S)[self._group]
            names = TopicCollection(sorted(self._topics))
            self._asked = group, self._admin.describe_topics(names, request_timeout=REQUEST_TIMEOUT_S)
        except KafkaException:
            self._next_s = self._monotonic() + self._look_s

    def _left(self, group: Any, topics: Mapping[str, Future[Any]]) -> set[TopicPartition]:
        """Return the partitions of a stable group that none of its members has."""
        if group.state != ConsumerGroupState.STABLE or not group.members:
            return set()
        left: set[TopicPartition] = set()
        for name, future in topics.items():
            try:
                left.update(TopicPartition(name, each.id) for each in future.result().partitions)
            except KafkaException:
                continue  # deleted, or not to be seen
        for member in group.members:
            taken = [TopicPartition(each.topic, each.partition) for each in member.assignment.topic_partitions]
            left.difference_update(taken)
            self._topics.update(each.topic for each in taken)
        return left


class GroupCare:
    """One consumer's place in its group. Call look() in each poll."""

    def __init__(
        self,
        consumer: Consumer,
        config: Mapping[str, Any],
        topics: Sequence[str],
        *,
        subscribe: Callable[[], None],
        warn: Callable[[str], None],
        monotonic: Callable[[], float],
        look_s: float = LOOK_S,
    ) -> None:
        """`topics`: what is subscribed to, patterns (^...) among them; `subscribe()` does so again."""
        self._consumer = consumer
        self._bootstrap = str(config["bootstrap.servers"])
        self._subscribe = subscribe
        self._warn = warn
        self._monotonic = monotonic
        self._out_s: float | None = None  # when the group took all partitions, until it gives some or none again
        self._leaving = False
        literal = [topic for topic in topics if not topic.startswith("^")]
        self._unowned = Unowned(config, literal, monotonic=monotonic, look_s=look_s)

    def assigned(self, topics: Collection[str]) -> None:
        """Take note that the group has given partitions of these topics, or none."""
        self._out_s = None
        self._unowned.add(topics)

    def lost(self) -> None:
        """Take note that the group has taken everything."""
        self._out_s = self._monotonic()

    def look(self) -> None:
        """See to it that this member is in the group, and that the group leaves out nothing. Raises SourceError."""
        if self._leaving:
            if not self._consumer.assignment():
                self._leaving = False
                self._subscribe()
        elif found := self._unowned.look(self._consumer.memberid() or ""):
            named = ", ".join(f"{each.topic}/{each.partition}" for each in found[:5])
            self._warn(
                f"no member of the consumer group reads {named}{' and others' if len(found) > 5 else ''}: "
                "leaving the group and joining again, so that it plans anew"
            )
            self._leaving = True
            self.lost()
            self._consumer.unsubscribe()
        self._refuse_to_stay_out()

    def _refuse_to_stay_out(self) -> None:
        """Raise SourceError when the group took this member's partitions and the client has not come back into it.

        librdkafka was seen to stay out for good after its session had timed out: nothing in it says so, and a worker
        would hold nothing for ever. A new process joins again.
        """
        if self._out_s is not None and self._monotonic() - self._out_s > REJOIN_S_MAX:
            raise SourceError(
                f"the consumer group at {self._bootstrap} took this worker's partitions {REJOIN_S_MAX:.0f} s ago, and "
                "the client has not joined again; starting it anew"
            )
