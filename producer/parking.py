"""Where the shipper keeps records of topics that do not exist, or may not be written, until they are tried again."""

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError

from .in_flight import Place
from .topic_trial import TopicTrial

_BYTES_MAX = 128 << 20
DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED
TOPIC_ERRORS = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        DENIED,
    }
)


class Parking:
    """Records by topic, each topic with the moment of its next try. What is parked is not acknowledged."""

    def __init__(
        self,
        *,
        retry_s: float,
        trial: TopicTrial,
        on_failed: Callable[[str, KafkaError], None],
        on_delivered: Callable[[int], None],
        monotonic: Callable[[], float],
    ) -> None:
        """`on_failed(topic, error)` is told why a topic is parked, each time; `on_delivered(position)` of a record that
        was delivered by trying."""
        self._retry_s = retry_s
        self._trial = trial
        self._on_failed = on_failed
        self._on_delivered = on_delivered
        self._monotonic = monotonic
        self._parked: dict[str, list[Place]] = {}
        self._bytes = 0
        self.until: dict[str, float] = {}
        """By topic, when it is tried again. Records of these topics are to be parked."""
        self._denied: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._parked)

    @property
    def full(self) -> bool:
        """Whether what waits for missing topics fills the memory that there is for it."""
        return self._bytes > _BYTES_MAX

    def shut(self, topic: str, error: KafkaError) -> None:
        """Begin to park a topic's records, or go on doing so for a while."""
        self._on_failed(topic, error)
        self.until[topic] = self._monotonic() + self._retry_s
        if error.code() == DENIED:
            self._denied.add(topic)

    def park(self, place: Place) -> None:
        """Keep a record."""
        record = place[1]
        self._parked.setdefault(record.topic, []).append(place)
        self._bytes += record.queued_bytes

    def due(self, in_flight: Mapping[str, int]) -> list[Place]:
        """Give back the records of a topic that is to be tried again, in order, and park no more of them.

        Only when all of the topic's records have come back: else a later one could overtake an earlier one. A topic
        that was denied is tried apart first.
        """
        if not self.until:
            return []
        self._look_at_trial()
        now = self._monotonic()
        for topic, at in self.until.items():
            if at <= now and not in_flight.get(topic) and self._parked.get(topic):
                if topic not in self._denied:
                    return self._give_back(topic)
                if self._trial.running:
                    continue
                error = self._trial.begin(min(self._parked[topic]))
                if error is None:
                    continue
                if error.code() in TOPIC_ERRORS:
                    self.shut(topic, error)
                    return []
                self._denied.discard(topic)
                return self._give_back(topic)
        return []

    def _give_back(self, topic: str) -> list[Place]:
        del self.until[topic]
        back = sorted(self._parked.pop(topic))
        self._bytes -= sum(record.queued_bytes for _, record in back)
        return back

    def _look_at_trial(self) -> None:
        answer = self._trial.fetch()
        if answer is None:
            return
        place, error = answer
        topic = place[1].topic
        if error is not None and error.code() in TOPIC_ERRORS:
            self.shut(topic, error)
            return
        if error is not None and (error.code() < 0 or error.retriable()):
            self.until[topic] = self._monotonic() + self._retry_s  # Kafka is away: that tells nothing of the topic
            return
        self._denied.discard(topic)
        self.until[topic] = self._monotonic()
        if not self._denied:
            self._trial.drop()
        if error is None:
            self._parked[topic].remove(place)
            self._bytes -= place[1].queued_bytes
            self._on_delivered(place[0])
            if not self._parked[topic]:
                self._give_back(topic)

    def forget(self) -> None:
        """Let go of the records: the queue gives them again. Their topics stay shut for as long as they would."""
        self._parked, self._bytes = {}, 0
        self.let_go()

    def let_go(self) -> None:
        """Let go of the producer that tries topics."""
        self._trial.drop()
