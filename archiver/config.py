"""What an archiver is told: one frozen value, made in cli/ and handed to each worker process as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .default_names import DEFAULT_GROUP, READING, SCHEMA_TOPIC
from .limits import Limits
from .log_state import FOLD_ENTRIES
from .memory_budget import MEMORY_BYTES
from .s3_settings import S3Settings
from .topic_decoder import TopicSettings


@dataclass(frozen=True)
class ArchiverConfig:
    """Settings of one worker. Sizes in bytes, times in seconds.

    kafka: librdkafka settings beside those that exactness fixes; "bootstrap.servers" is required.
    instance_id: the worker's static membership in the group; None leaves the group at once when it ends.
    reading: messages or batches; see sources.py.
    memory_bytes: what the worker may take beyond the bare process; see memory_budget.py. partitions: of all topics.
    seal_lateness_s: a date is sealed so long after its end; None: dates are not sealed. seal_interval_s: so often it is
    looked for.
    fold_entries: the log is folded each so many entries: 1,000 by the format, tests take fewer.
    failpoint: (name, hit, signal number) that the worker sends itself, for tests.
    log_format: human or json. tally_fd: the pipe on which the worker tells its tally; the supervisor sets it.
    """

    kafka: Mapping[str, Any]
    archive_url: str
    topics: tuple[TopicSettings, ...]
    group: str = DEFAULT_GROUP
    instance_id: str | None = None
    worker: int = 0
    s3: S3Settings = field(default_factory=S3Settings)
    limits: Limits = field(default_factory=Limits)
    memory_bytes: int = MEMORY_BYTES
    reading: str = READING
    partitions: int = 1
    flush_when_idle: bool = False
    schema_topic: str = SCHEMA_TOPIC
    seal_lateness_s: float | None = None
    seal_interval_s: float = 60.0
    fold_entries: int = FOLD_ENTRIES
    failpoint: tuple[str, int, int] | None = None
    log_level: str = "INFO"
    log_format: str = "human"
    tally_fd: int | None = None

    def to_json(self) -> str:
        """Return one line of JSON."""
        value = dataclasses.asdict(self)
        value["topics"] = [settings.as_json() for settings in self.topics]
        return json.dumps(value)

    @staticmethod
    def from_json(text: str) -> "ArchiverConfig":
        """Read what to_json() wrote."""
        value = json.loads(text)
        value["topics"] = tuple(TopicSettings.from_json(settings) for settings in value["topics"])
        value["limits"] = Limits(**value["limits"])
        value["s3"] = S3Settings(**value["s3"])
        value["failpoint"] = tuple(value["failpoint"]) if value["failpoint"] else None
        return ArchiverConfig(**value)
