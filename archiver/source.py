"""The archiver's view of Kafka: what a worker asks of it, and what it is told.

A Source belongs to one worker and one thread. All calls to the Assignee happen inside poll() and close(), on the
caller's thread, so that a worker needs no lock. `kafka_source.KafkaSource` is the real one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc


class SourceError(Exception):
    """Kafka cannot be used as asked. The message says what, where and what to do next."""


class SourceFenced(SourceError):
    """Another consumer took over this worker's place in the group. The worker must stop at once."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read a partition from. `leader_epoch` -1: not known, so truncation is not checked by the client."""

    offset: int
    leader_epoch: int = -1


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic, in offset order within each partition; `leader_epochs` by partition."""

    topic: str
    batch: pa.RecordBatch
    leader_epochs: Mapping[int, int]

    def without(self, partitions: Collection[int]) -> "Records":
        """Return the records of all other partitions."""
        gone = pc.is_in(self.batch.column("partition"), value_set=pa.array(sorted(partitions), pa.int32()))
        return Records(self.topic, self.batch.filter(pc.invert(gone)), self.leader_epochs)


@dataclass(frozen=True, slots=True)
class Reached:
    """All that is visible before `offset` has been handed out: it lies past markers and holes at the log's end.

    A span's end is taken from records and from this, never from the client's position(): inside a rebalance callback
    the client's position already counts records that it has not handed out yet.
    """

    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class OffsetLost:
    """The next offset to read of a partition is not there: below the log's start, above its end, or truncated."""

    partition: TopicPartition
    detail: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record is there that the client cannot hand out whole; `detail` says why. Those around it are not concerned."""

    partition: TopicPartition
    offset: int
    detail: str


SourceEvent = Records | Reached | OffsetLost | Unreadable


class Assignee(Protocol):
    """What a worker does when the group changes its assignment."""

    def assigned(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Start]:
        """Take partitions on; return where to read each from."""
        ...

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Give partitions up in an orderly way: what is held may still be committed before this returns."""
        ...

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Drop partitions that are somebody else's already."""
        ...


NO_NOTES: Mapping[TopicPartition, str] = MappingProxyType({})


class Source(Protocol):
    """A member of a consumer group."""

    def cluster_id(self) -> str:
        """Return the Kafka cluster's id. Raises SourceError when no broker answers."""
        ...

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the id of each topic that exists now. A topic that was made again has a new one."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[SourceEvent]:
        """Return what came within `timeout_s`; may call the assignee. Raises SourceFenced, SourceError."""
        ...

    def log_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (log start, last stable offset) of each partition, as the broker says now."""
        ...

    def restart_at(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Read assigned partitions from other offsets; what was fetched before is forgotten."""
        ...

    def commit_offsets(
        self, offsets: Mapping[TopicPartition, int], notes: Mapping[TopicPartition, str] = NO_NOTES
    ) -> None:
        """Tell Kafka's group how far the archive is, without waiting: for display, never the truth.

        `notes`: the metadata of some of the offsets (heartbeats).
        """
        ...

    def close(self) -> None:
        """Leave the group; calls revoked() for what is assigned."""
        ...
