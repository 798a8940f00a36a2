"""Opens the archive's store, and turns what servers and archive answer into one message and the exit code for it.

Verbs that only the light install has must not import this module: it brings boto3.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
from confluent_kafka import KafkaException

from headrace.archiver.intents import IntentUnknown
from headrace.archiver.log_entries import LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.named_checkpoint import CheckpointCorrupt, CheckpointRefused
from headrace.archiver.object_key import KeyRefused
from headrace.archiver.object_store import StoreError
from headrace.archiver.parquet_file import FileCorrupt
from headrace.archiver.s3 import S3Store
from headrace.archiver.source import SourceError
from headrace.replay.errors import ArchiveDamaged, KafkaUnusable, NothingChecked, ReplayDiffers, RequestRefused

from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, fail
from .s3_options import s3_settings

EXIT_INTERRUPTED = 130
LOOK_TIMEOUT_S = 5.0
LOOK_ATTEMPTS = 2

_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((KeyRefused, RequestRefused, LogTooNew, IntentUnknown, CheckpointRefused), EXIT_USAGE),
    (
        (ArchiveDamaged, NothingChecked, ReplayDiffers, LogCorrupt, LogViolation, CheckpointCorrupt, FileCorrupt),
        EXIT_WRONG,
    ),
    ((KafkaUnusable, SourceError, StoreError, KafkaException), EXIT_SERVER),
)


def open_store(archive_url: str, **how: Any) -> S3Store:
    """Return the archive's store, as this command was told to speak to it. Ends the command when the URL is none."""
    try:
        return S3Store(archive_url, settings=s3_settings(), **how)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    except OSError as error:
        fail(f"the CA bundle cannot be used: {error}; it must be a file of certificates in PEM form", EXIT_USAGE)


def open_to_look(archive_url: str) -> S3Store:
    """Return the archive's store for whoever only looks, and can do without it: it is not waited for as long."""
    return open_store(archive_url, read_timeout_s=LOOK_TIMEOUT_S, read_attempts=LOOK_ATTEMPTS)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn the errors of archive, store and Kafka into a message and an exit code; also Ctrl-C and SIGTERM."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    except Exception as error:
        for kinds, code in _CODES:
            if isinstance(error, kinds):
                fail(str(error), code)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_at_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set, for verbs that run until somebody ends them."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
