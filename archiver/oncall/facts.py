"""What is known of one partition when somebody asks how the archive does. Plain values: who asks whom is in gather.py.

Offsets are next offsets (exclusive) unless said otherwise; times are Unix milliseconds; None is "not known".
"""

from dataclasses import dataclass
from typing import Literal

from ..kafka_admin import FirstRecord, LogEnds
from ..source import TopicPartition
from .heartbeat import Heartbeat

DurableFrom = Literal["log", "group"]
"""log: the commit log on S3, the truth. group: what the archiver's group committed in Kafka, never ahead of it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What Kafka deletes of a topic. `ms`, `bytes`: its bounds, None for no bound; bytes are of one partition.

    `deletes`, `compacts`: its cleanup policies.
    """

    ms: int | None
    bytes: int | None
    deletes: bool = True
    compacts: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """Records a second that were written to a partition: of late, and the highest that is known.

    `peak`: of any five minutes of the last hour, of the last minute, of the last seconds.
    """

    now: float
    peak: float


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that is not ended: whose, and since when."""

    transactional_id: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one partition; None where there is no answer, and `problem` says why.

    `durable`: the next offset to archive, of the topic as it is now, from where `durable_from` says; `as_of_ms`: when
    that was so, if it is not now. `ends_ms`: when `ends` were asked for. `recreated`: the log's newest topic id is
    another one than Kafka's. `damaged`: the log cannot be read. `first`: the first unarchived record, where it was
    looked for and found. `size_bytes`: the partition's log on the broker's disk, asked for after `ends`; `size_start`:
    its start, asked for after that. `rows`, `quarantined`: what was archived in the last hour.
    """

    where: TopicPartition
    ends: LogEnds | None
    durable: int | None
    committed: int | None
    recreated: bool = False
    problem: str = ""
    damaged: bool = False
    first: FirstRecord | None = None
    heartbeat: Heartbeat | None = None
    durable_from: DurableFrom = "log"
    as_of_ms: int | None = None
    retention: Retention | None = None
    rates: Rates | None = None
    size_bytes: int | None = None
    size_start: int | None = None
    ends_ms: int | None = None
    transaction: OpenTransaction | None = None
    rows: int = 0
    quarantined: int = 0
