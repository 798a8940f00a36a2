"""One partition as it is being fetched: where it stands, who leads it, what came of it. Decides; sends nothing.

What is told of a partition is told in the order of its offsets. After its offset was found to be lost nothing more is
fetched until reading is begun somewhere.
"""

from dataclasses import dataclass

from confluent_kafka import KafkaError

from .fetch_protocol import Answer, Leader, Wanted
from .record_batches import Batch, split
from .source import Start, TopicPartition

NOBODY = Leader(-1, -1)
# What passes by itself, once the metadata are asked for again.
STALE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    100,  # UNKNOWN_TOPIC_ID, which the C client has no name for
}


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an answer brought of a partition. `end`: all that is visible before it is in `batches` or came before.

    `floor`: the offset that was asked for; `lost`: why it is not there. `generation`: see FetchState.
    """

    partition: TopicPartition
    generation: int
    floor: int
    batches: tuple[Batch, ...] = ()
    end: int | None = None
    lost: str | None = None


class FetchState:
    """Fetching of one partition from `start`. `generation` tells it from an earlier one of the same partition."""

    def __init__(self, partition: TopicPartition, start: Start, generation: int) -> None:
        self.partition = partition
        self.generation = generation
        self.leader = NOBODY
        self.position = start.offset
        self.served = 0  # when it had data last: those that had none come first in a request
        self.retry_s = 0.0  # not asked for before
        self.stopped = False
        # Before the first record there is no history to compare.
        self._epoch = start.leader_epoch if start.offset > 0 else -1
        self._told_end = -1

    def wanted(self) -> Wanted:
        """Return what to ask for next."""
        return Wanted(self.partition, self.position, self.leader.epoch, self._epoch)

    def take(self, answer: Answer) -> Arrived | None:
        """Take an answer without an error, or one that the offset is not there. Raises BatchDamaged."""
        floor = self.position
        if answer.diverged is not None and answer.diverged.end >= floor:
            # The epoch is of records that were lost behind this offset: the start of a lineage is told so.
            self._epoch = answer.diverged.epoch
            return None
        if answer.diverged is not None or answer.error == KafkaError.OFFSET_OUT_OF_RANGE:
            self.stopped = True
            return Arrived(self.partition, self.generation, floor, lost=self._lost(answer))
        found = split(answer.records, floor, self._epoch, answer.aborted)
        self.position, self._epoch = found.after, found.leader_epoch
        end = None
        if not found.cut and 0 <= answer.last_stable <= self.position and self._told_end != self.position:
            end = self._told_end = self.position
        if not found.batches and end is None:
            return None
        return Arrived(self.partition, self.generation, floor, found.batches, end)

    def _lost(self, answer: Answer) -> str:
        """Say it in librdkafka's words, in which the archive looks for where the histories part."""
        at = f"offset {self.position} (leader epoch {self._epoch})"
        if answer.diverged is not None:
            epoch, end = answer.diverged
            return (
                f"Partition log truncation detected at {at}: broker end offset is {end} (offset leader epoch {epoch})"
            )
        return f"fetch of {at} failed due to requested offset not available on the broker: Broker: Offset out of range"
