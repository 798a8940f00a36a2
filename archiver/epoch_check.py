"""Has the client compare leader epochs before a partition is read on: its log may be another history than the archive.

librdkafka asks the broker whether an offset and its epoch belong to the log's history (KIP-320) after a seek, not after
an assign; a seek fails until the assigned partition is being fetched; and it can be overtaken: by an answer that the
offset is out of range, or by a look-up of where the log ends, after which the client reads on from elsewhere and says
nothing. So each seek is followed until what comes is what it must bring about. Taken for granted, a log that was cut
would stall a partition for ever, and one that retention overtook would be read on behind records that nobody had seen.
"""

import sys
from collections.abc import Callable, Collection, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from .source import Start, TopicPartition

# How librdkafka's text begins when the epochs differ; with auto.offset.reset=error its code is that of any lost offset.
COMPARED = "Partition log truncation detected"
NOT_YET_FETCHED = {KafkaError._STATE, KafkaError._UNKNOWN_PARTITION, KafkaError._PREV_IN_PROGRESS}


class EpochCheck:
    """The partitions of one consumer whose epoch is still to be compared.

    `log_ranges` returns (log start, last stable offset) of each partition as the broker says now.
    """

    def __init__(
        self,
        consumer: Consumer,
        log_ranges: Callable[[Collection[TopicPartition]], Mapping[TopicPartition, tuple[int, int]]],
    ) -> None:
        self._consumer = consumer
        self._log_ranges = log_ranges
        self._to_seek: dict[TopicPartition, Start] = {}
        # After the seek, until its first outcome: where it went, and the least offset that may come next.
        self._sought: dict[TopicPartition, Start] = {}
        self._least: dict[TopicPartition, int] = {}

    def __bool__(self) -> bool:
        """Whether anything is left to compare."""
        return bool(self._to_seek or self._sought)

    def assigned(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Take partitions in that have been assigned at `starts`."""
        self.forget(starts)
        for partition, start in starts.items():
            if start.leader_epoch >= 0 and start.offset > 0:
                self._to_seek[partition] = start
                self._least[partition] = start.offset

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Drop partitions that are given up, or whose outcome is known."""
        for partition in partitions:
            self._to_seek.pop(partition, None)
            self._sought.pop(partition, None)
            self._least.pop(partition, None)

    def seek(self) -> None:
        """Seek where that is due; what is not being fetched yet stays due. Raises KafkaException."""
        for partition, start in list(self._to_seek.items()):
            try:
                self._consumer.seek(at_start(partition, start))
            except KafkaException as error:
                if error.args[0].code() not in NOT_YET_FETCHED:
                    raise
            else:
                self._sought[partition] = self._to_seek.pop(partition)

    def passes(self, partition: TopicPartition, offset: int) -> bool:
        """Whether a record or end at this offset may be handed out; if not, it comes again after the seek."""
        if partition in self._to_seek:
            return False
        if partition not in self._sought:
            return True
        if offset < self._least[partition]:
            self._to_seek[partition] = self._sought.pop(partition)  # it was overtaken
            return False
        self.forget([partition])
        return True

    def follows(self, partition: TopicPartition) -> bool:
        """Whether the outcome of a partition's comparison is still open."""
        return partition in self._to_seek or partition in self._sought

    def waits(self, partition: TopicPartition) -> bool:
        """Whether nothing that the client says of this partition counts yet."""
        return partition in self._to_seek

    def believes_lost(self, partition: TopicPartition, error: KafkaError) -> bool:
        """Whether it is the outcome that the offset is not there; if not, the partition is sought again.

        That the epochs differ always is. That the offset is out of range is only where the log begins behind it and
        the epoch was compared before: else the comparison is what tells where the histories part. Raises SourceError.
        """
        start = self._to_seek.get(partition) or self._sought.get(partition)
        if start is None:
            return True
        if error.code() == KafkaError._LOG_TRUNCATION or error.str().startswith(COMPARED):
            self.forget([partition])
            return True
        low, _ = self._log_ranges([partition])[partition]
        if partition in self._sought and start.offset < low:
            self.forget([partition])
            return True
        # Nothing may come at all of an offset that is gone, except that it is gone.
        self._least[partition] = sys.maxsize if start.offset < low else start.offset
        self._to_seek[partition] = start
        self._sought.pop(partition, None)
        again = KafkaPartition(partition.topic, partition.partition)
        self._consumer.incremental_unassign([again])
        # A number, not "the end": that would have to be looked up, and the answer would undo the seek. The lowest,
        # since what is read from there is known to come before the start.
        again.offset = low
        self._consumer.incremental_assign([again])
        return False


def at_start(partition: TopicPartition, start: Start) -> KafkaPartition:
    """Return a start in the client's terms."""
    if start.leader_epoch >= 0:
        return KafkaPartition(partition.topic, partition.partition, start.offset, leader_epoch=start.leader_epoch)
    return KafkaPartition(partition.topic, partition.partition, start.offset)
