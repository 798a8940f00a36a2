"""When a run with `--until-idle` is over: all that the topics held at its start is in the commit log."""

from collections.abc import Callable, Mapping

from .commit_log import CommitLog
from .kafka_admin import KafkaAdmin
from .kafka_metadata import KafkaMetadata
from .object_store import ObjectStore
from .source import TopicPartition


class UntilIdle:
    """Takes the topics' ends when it is made; done() compares them with the logs."""

    def __init__(
        self,
        metadata: KafkaMetadata,
        positions: KafkaAdmin,
        store: ObjectStore,
        partitions: Mapping[str, int],
        *,
        pause: Callable[[float], None],
    ) -> None:
        self._logs = {topic: CommitLog(store, topic, pause=pause) for topic in partitions}
        self._ids = metadata.topic_ids(list(partitions))
        everything = [TopicPartition(topic, p) for topic, count in partitions.items() for p in range(count)]
        self._ends = {partition: end for partition, (_, end) in positions.log_ranges(everything).items()}

    def done(self) -> bool:
        """Whether each partition is in its topic's log, up to the end it had at the start."""
        return not self.missing()

    def missing(self) -> dict[TopicPartition, tuple[int, int]]:
        """Return the partitions that are not there yet, with (next durable offset, end to reach)."""
        for log in self._logs.values():
            log.refresh()
        missing: dict[TopicPartition, tuple[int, int]] = {}
        for partition, end in self._ends.items():
            state = self._logs[partition.topic].state
            at = state.newest(partition.partition, self._ids.get(partition.topic, state.topic_id))
            if at is None or at.next < end:
                missing[partition] = (0 if at is None else at.next, end)
        return missing
