"""Opens the spool for a process, or says why there is none: the app then goes on with a queue in memory."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import ownership
from .adoption import Adopter, MakeShipper
from .limits import SpoolLimits
from .segment_files import allocate
from .separate_queue import SeparateQueue
from .spool_queue import SpoolQueue

_PROBE_BYTES = 4096
_log = logging.getLogger("headrace.producer")


@dataclass(frozen=True)
class SpoolSettings:
    """Where the spool is, its bounds, and whose."""

    path: Path
    limits: SpoolLimits
    service: str


def usable(settings: SpoolSettings) -> bool:
    """Tell whether a file can be made in the spool now; warn if not."""
    folder = ownership.service_folder(settings.path, settings.service)
    probe = folder / f"{ownership.PROBE}{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(probe, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            allocate(fd, _PROBE_BYTES)
        finally:
            os.close(fd)
            probe.unlink(missing_ok=True)
    except OSError as error:
        _warn(settings, error)
        return False
    return True


def open_queue(
    settings: SpoolSettings,
    host: str,
    session_id: bytes,
    make_shipper: MakeShipper,
    *,
    clock_ns: Callable[[], int],
    monotonic: Callable[[], float],
) -> tuple[SpoolQueue, Adopter] | tuple[None, None]:
    """Return this process's queue and what adopts the folders of dead ones, or warn and return nothing."""
    try:
        queue = SpoolQueue(
            settings.path,
            service=settings.service,
            host=host,
            session_id=session_id,
            limits=settings.limits,
            clock_ns=clock_ns,
            monotonic=monotonic,
        )
    except OSError as error:
        _warn(settings, error)
        return None, None
    adopter = Adopter(
        ownership.service_folder(settings.path, settings.service),
        limits=settings.limits,
        make_shipper=make_shipper,
        clock_ns=clock_ns,
        monotonic=monotonic,
    )
    return queue, adopter


def open_separate(
    settings: SpoolSettings | None,
    host: str,
    session_id: bytes,
    *,
    clock_ns: Callable[[], int],
    monotonic: Callable[[], float],
    warn: bool = False,
) -> SeparateQueue | None:
    """Return the queue of a process that ships nothing itself, or (warn and) return None."""
    if settings is None:
        return None
    try:
        return SeparateQueue(
            settings.path,
            service=settings.service,
            host=host,
            session_id=session_id,
            limits=settings.limits,
            clock_ns=clock_ns,
            monotonic=monotonic,
        )
    except OSError as error:
        if warn:
            _warn(settings, error)
        return None


def _warn(settings: SpoolSettings, error: OSError) -> None:
    """Say that the spool cannot be used. Only ever while an event log or its first event is made."""
    _log.warning(
        "headrace: the spool at %s cannot be used (%s): events wait in memory and are lost if this process is killed. "
        "Give the process a folder that it can write to, with room",
        settings.path,
        error,
    )
