"""`python bench/archive_stages.py TOPIC EVENTS URL`: one worker in this process, its CPU by stage, as JSON.

The worker is the real one, with a clock around some of its parts.
"""

import gc
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from headrace.archiver import batch_source, flush_buffer, kafka_source, worker_process
from headrace.archiver import worker as worker_module
from headrace.archiver.avro import codec, rows
from headrace.archiver.avro.container import BlockReader
from headrace.archiver.commit_log import CommitLog
from headrace.archiver.config import ArchiverConfig
from headrace.archiver.flush_buffer import FlushBuffer
from headrace.archiver.part_digest import PartDigest
from headrace.archiver.source import Records
from headrace.archiver.topic_decoder import TopicDecoder, TopicSettings
from headrace.archiver.uploads import Uploads

FIRST_RECORDS = 1_000
# What is called within another is taken off of it.
STAGES: list[tuple[Any, str, str]] = [
    (kafka_source.KafkaSource, "poll", "consume"),
    (batch_source.BatchSource, "poll", "consume"),
    (batch_source.BatchColumns, "decode", "columns"),
    (kafka_source, "records_of", "columns"),
    (BlockReader, "read", "decode"),
    (rows, "proves_canonical", "verify"),
    (codec.RowReader, "_encodes_to", "verify"),
    (flush_buffer, "DigestColumns", "verify"),
    (PartDigest, "update_range", "verify"),
    (TopicDecoder, "decode", "frames, dates"),
    (FlushBuffer, "add", "hold"),
    (flush_buffer, "write_file", "Parquet"),
    (FlushBuffer, "build", "sort"),
    (Uploads, "put", "upload"),
    (CommitLog, "append", "commit"),
]


class Clocks:
    """CPU of the calling thread by stage, each without those that it calls."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock around it."""

        def timed(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            begun = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time() - begun
                self.spent[stage] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return timed


def main() -> None:
    """Archive a topic; print microseconds a record by stage."""
    topic, events, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    clocks = Clocks()
    for owner, name, stage in STAGES:
        setattr(owner, name, clocks.around(stage, getattr(owner, name)))
    config = ArchiverConfig(
        kafka={"bootstrap.servers": os.environ["HEADRACE_KAFKA"]},
        archive_url=url,
        topics=(TopicSettings(topic),),
        group=f"stages-{os.urandom(4).hex()}",
    )
    worker = worker_process.build_worker(config, threading.Event())
    taken = 0
    take = worker._take

    def counted(found: list[Any]) -> None:
        nonlocal taken
        taken += sum(each.batch.num_rows for each in found if isinstance(each, Records))
        take(found)

    worker._take = counted  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()
    most, worker_module.POLL_RECORDS_MAX = worker_module.POLL_RECORDS_MAX, FIRST_RECORDS
    while not taken:  # joining the group and the first batch are not counted
        worker.step()
    worker_module.POLL_RECORDS_MAX = most
    before = taken
    clocks.spent.clear()
    process, thread = time.process_time(), time.thread_time()
    while taken < events:
        worker.step()
    for archive in worker._archives.values():
        worker._flush(archive)
    process, thread = time.process_time() - process, time.thread_time() - thread
    stages = dict(clocks.spent)
    stages["the loop"] = thread - sum(stages.values())
    stages["client's threads"] = process - thread
    print(json.dumps({name: spent * 1e6 / (events - before) for name, spent in stages.items()}))
    worker._source.close()


if __name__ == "__main__":
    main()
