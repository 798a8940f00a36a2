"""Whether a worker is in its group, and whether the group leaves a partition to nobody.

A static member that dies between giving a partition up and joining again (the two steps of a cooperative rebalance,
KIP-429) comes back under its name (KIP-345). The group is stable, so it is given what was planned for it last, without
that partition, and nobody plans anew: the partition is nobody's until something else makes the group plan. Neither the
client nor the broker tells. So each member looks at the group's description now and then, and one of them leaves and
joins again, which makes the group plan.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from .fetch_protocol import ProtocolError, Reader
from .kafka_metadata import admin_settings
from .source import SourceError, TopicPartition

LOOK_S = 20.0
LOOKS = 3
"""A partition that is nobody's in so many looks, one after the other, will stay so: a rebalance is over by then."""
LOOKS_MAX = 64 * LOOKS
REJOIN_S_MAX = 90.0  # several session timeouts
_ANSWER_S = 4.0
_STABLE = "Stable"

Members = dict[str, set[TopicPartition]]
"""What each member of a group has, by its member id."""


def members_of(admin: AdminClient, group: str, timeout_s: float) -> Members | None:
    """Return the members of a stable group; None for one that is not stable, or is not there. Raises KafkaException.

    By the old, deprecated call: describe_consumer_groups() asks the group's coordinator, and when that broker
    restarts meanwhile librdkafka 2.16 aborts the process (its issue 3663; three times in twelve minutes of chaos).
    """
    for found in admin.list_groups(group, timeout=timeout_s):
        if found.id == group and found.error is None and found.state == _STABLE:
            return {member.id: _assigned(member.assignment) for member in found.members}
    return None


def _assigned(data: bytes) -> set[TopicPartition]:
    """Read what a member was assigned: https://kafka.apache.org/protocol.html, ConsumerProtocolAssignment."""
    found: set[TopicPartition] = set()
    if not data:
        return found
    reader = Reader(memoryview(data))
    _, topics = reader.numbers("hi")
    for _ in range(topics):
        topic = reader.text()
        (count,) = reader.numbers("i")
        found.update(TopicPartition(topic, number) for number in reader.numbers(f"{count}i"))
    return found


class Unowned:
    """Asks for the group's description, on a thread of its own: no poll waits for it.

    `topics`: those that certainly belong to the subscription.
    """

    def __init__(
        self, config: Mapping[str, Any], topics: Collection[str], *, monotonic: Callable[[], float], look_s: float
    ) -> None:
        self._group = str(config["group.id"])
        self._topics = set(topics)
        self._monotonic = monotonic
        self._look_s = look_s
        self._next_s = monotonic() + look_s
        settings: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
        settings.update(admin_settings(config))
        self._admin = AdminClient(settings)
        self._asking = ThreadPoolExecutor(1, "group-care")
        self._asked: Future[tuple[Members, set[TopicPartition]] | None] | None = None
        self._seen: dict[TopicPartition, int] = {}
        self._looks = LOOKS

    def add(self, topics: Collection[str]) -> None:
        """Take note of topics that belong to the subscription too."""
        self._topics.update(topics)

    def look(self, member_id: str) -> list[TopicPartition]:
        """Return what stays nobody's, if it is this member that is to do something about it. Never waits or raises."""
        if self._asked is None:
            if self._monotonic() >= self._next_s and self._topics:
                self._asked = self._asking.submit(self._ask, frozenset(self._topics))
            return []
        if not self._asked.done():
            return []
        asked, self._asked = self._asked.result(), None
        self._next_s = self._monotonic() + self._look_s
        if asked is None:
            return []  # away, not allowed, or between two plans: that tells nothing
        members, left = asked
        for taken in members.values():
            left.difference_update(taken)
            self._topics.update(each.topic for each in taken)
        self._seen = {partition: self._seen.get(partition, 0) + 1 for partition in left}
        if not left:
            self._looks = LOOKS
        found = sorted(partition for partition, times in self._seen.items() if times >= self._looks)
        if not found:
            return []
        # Where planning anew does not help (who plans may not see the topic, say), it is done ever more seldom.
        self._seen, self._looks = {}, min(2 * self._looks, LOOKS_MAX)
        # One member is enough, and all see the same.
        return found if member_id == min(members) else []

    def _ask(self, topics: Collection[str]) -> tuple[Members, set[TopicPartition]] | None:
        """Return the members of the group, if it is stable, and all partitions of the topics."""
        every: set[TopicPartition] = set()
        try:
            members = members_of(self._admin, self._group, _ANSWER_S)
            if members:
                for name in topics:
                    found = self._admin.list_topics(name, timeout=_ANSWER_S).topics[name]
                    every.update(TopicPartition(name, number) for number in found.partitions)
        except (KafkaException, ProtocolError):
            return None
        return (members, every) if members else None

    def close(self) -> None:
        """Ask no more."""
        self._asking.shutdown(wait=False, cancel_futures=True)


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

    def close(self) -> None:
        """Look no more."""
        self._unowned.close()

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
