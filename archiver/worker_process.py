"""One worker as a process of its own: `python -m headrace.archiver.worker_process`.

Its configuration comes as one line of JSON on standard input, which stays open: when it closes, the supervisor is gone
and the worker leaves, so that no worker outlives its supervisor. SIGTERM flushes and leaves.

Exit codes: 0 left as asked; 2 refused for good; 3 Kafka or S3 fails or refuses; 4 the archive's log is damaged (1 is
what Python ends with after an error that nobody expected, and may pass).
"""

import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from headrace.schemas.catalog import builtin
from headrace.schemas.uuid7 import Uuid7

from .clock import SystemClock
from .config import ArchiverConfig
from .failpoints import no_failpoint, signal_at
from .held import Writer
from .histories import ArchiveRefused
from .kafka_source import consumer_config
from .log_entries import LogCorrupt, LogTooNew
from .log_state import LogViolation
from .logged import configure
from .memory_budget import MemoryBudget, bound_heap
from .object_store import StoreError
from .s3 import S3Store
from .schema_source import ArchiveSchemas, read_schema_topic
from .sealing import SealRules
from .source import Source, SourceError
from .sources import make_source
from .tally import Tally
from .tally_pipe import TallyPipe
from .topic_archive import TopicArchive
from .worker import Worker

EXIT_REFUSED = 2
EXIT_SERVER = 3
EXIT_DAMAGED = 4

log = logging.getLogger("headrace.archiver")


def main() -> int:
    """Run one worker; return its exit code."""
    config = ArchiverConfig.from_json(_read_line(sys.stdin.fileno()))
    configure(config.log_format, config.log_level, worker=config.worker)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    # Ctrl-C reaches the whole process group; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bound_heap()
    gc.freeze()

    def stopping() -> bool:
        if not stop.is_set() and select.select([sys.stdin], [], [], 0)[0]:
            log.warning("the supervisor is gone; leaving")
            stop.set()
        return stop.is_set()

    try:
        build_worker(config, stop).run(stopping)
    except (LogCorrupt, LogViolation) as error:
        log.error("%s", error)
        return EXIT_DAMAGED
    except (ArchiveRefused, LogTooNew) as error:
        log.error("%s", error)
        return EXIT_REFUSED
    except (SourceError, StoreError) as error:
        log.error("%s", error)
        return EXIT_SERVER
    return 0


def build_worker(config: ArchiverConfig, stop: threading.Event) -> Worker:
    """Wire a worker to the real Kafka, the real S3 and the real clock."""
    clock = SystemClock(stop)
    ids = Uuid7(os.urandom)
    failpoint = signal_at(*config.failpoint) if config.failpoint else no_failpoint
    store = S3Store(config.archive_url, settings=config.s3)
    budget = MemoryBudget.of(config.memory_bytes, config.partitions)
    limits = replace(config.limits, flush_bytes_max=min(config.limits.flush_bytes_max, budget.held_bytes))
    kafka = consumer_config(
        str(config.kafka["bootstrap.servers"]),
        config.group,
        instance_id=config.instance_id,
        queue_kb_max=budget.queue_kb,
        extra={**budget.fetch_settings(), **config.kafka},
    )
    schemas = ArchiveSchemas(
        store, builtin(), lambda: read_schema_topic(config.kafka, config.schema_topic), monotonic=clock.monotonic
    )
    settings = {topic.topic: topic for topic in config.topics}
    sealing = None if config.seal_lateness_s is None else SealRules(config.seal_lateness_s, config.seal_interval_s)
    tally = Tally(clock, None if config.tally_fd is None else TallyPipe(config.tally_fd).write)
    name = f"{socket.gethostname()}:{os.getpid()}:{config.worker}"

    def new_id() -> str:
        return str(uuid.UUID(bytes=ids.next(time.time_ns() // 1_000_000)))

    def make_archive(topic: str, source: Source) -> TopicArchive:
        return TopicArchive(
            settings[topic],
            source=source,
            store=store,
            schemas=schemas,
            writer=Writer(name, source.cluster_id()),
            limits=limits,
            clock=clock,
            new_id=new_id,
            failpoint=failpoint,
            sealing=sealing,
            fold_entries=config.fold_entries,
            on_commit=tally.committed,
        )

    return Worker(
        lambda worker: make_source(
            config.reading,
            kafka,
            list(settings),
            worker,
            clock=clock,
            warn=lambda text: log.warning("%s", text),
            poll_bytes=budget.poll_bytes,
            random_bytes=os.urandom,
        ),
        make_archive,
        clock=clock,
        failpoint=failpoint,
        buffer_bytes_max=budget.held_bytes,
        flush_when_idle=config.flush_when_idle,
        name=name,
        tally=tally,
        renew_store=store.renew,
    )


def _read_line(descriptor: int) -> str:
    """Read one line without buffering past it, so that select() still sees the end of input."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise SystemExit("worker_process: no configuration on standard input; it is started by `headrace archive`")
        line += byte
    return line.decode()


def end_with(run: Callable[[], int]) -> NoReturn:
    """Run, and end the process with its exit code; with 1 after an error that nobody expected.

    At once, without taking objects down: a consumer that is not in its group yet is waited for for ever there, and the
    supervisor would take the process for a working one.
    """
    code = 1
    try:
        code = run()
    except SystemExit as left:
        sys.stderr.write(f"{left.code}\n")
    except Exception:
        log.exception("an error that nobody expected")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    end_with(main)
