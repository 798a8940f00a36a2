"""A logging.Handler that turns the app's error records into Error events.

It never raises into the code that logs, never waits (beyond what emit() itself may, with `when_full="block"`), holds no
lock, and never answers to headrace's own log records, nor to records that come up while it is handling one.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from headrace.schemas import Error, Event
from headrace.schemas.events import ErrorLevel

from .error_fingerprint import class_name, fingerprint_of_exception, fingerprint_of_message

_OURS = "headrace"
_FRAMES_MAX = 64
_FINGERPRINTS_MAX = 1000
_WINDOW_S = 60.0
_LONG_END = 1 << 63


class Emits(Protocol):
    """What the handler needs of an EventLog."""

    def emit(self, event: Event, /) -> bool:
        """Accept an event, or say False."""


class ErrorEventHandler(logging.Handler):
    """Emits an Error event for each log record at or above `level`.

    `log` is the app's EventLog (in a dictConfig `ext://myapp.log`). Message and stack are cut to `message_chars_max`
    and `stack_chars_max`: of a stack the beginning and the longer end stay, since the innermost call is last. With
    `per_minute_max` at most so many events a minute and fingerprint are emitted; the others are counted in
    `suppressed`. `extra={"user_id": 7, "path": "/pins", "fingerprint": "..."}` of a logging call fill these fields;
    `path` may also be given as a function that returns the route or job that is running.
    """

    def __init__(
        self,
        log: Emits,
        level: int | str = logging.ERROR,
        *,
        per_minute_max: int | None = None,
        message_chars_max: int = 4_000,
        stack_chars_max: int = 16_000,
        path: Callable[[], str | None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the arguments; raise ValueError or TypeError for one that cannot work."""
        super().__init__(level)
        if not callable(getattr(log, "emit", None)):
            raise TypeError(f"log: give an EventLog (in a dictConfig 'ext://myapp.log'), not {type(log).__name__}")
        if per_minute_max is not None and per_minute_max < 1:
            raise ValueError("per_minute_max: must be at least 1, or None for no bound")
        if message_chars_max < 1 or stack_chars_max < 1:
            raise ValueError("message_chars_max and stack_chars_max must be at least 1")
        self._log = log
        self._per_minute_max = per_minute_max
        self._message_chars_max = message_chars_max
        self._stack_chars_max = stack_chars_max
        self._path = path
        self._monotonic = monotonic
        self._inside = threading.local()
        self._windows: dict[str, tuple[float, int]] = {}
        self.suppressed = 0
        """Records above `per_minute_max`."""
        self.failed = 0
        """Records that could not be made an event, or that emit() did not accept."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Make no lock: emit() needs none, and a lock could be held by another thread at a fork, or in a signal."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit, as the base class does around its lock."""
        kept: object = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Emit the record's Error event; whatever goes wrong is counted in `failed`."""
        if record.name == _OURS or record.name.startswith(_OURS + ".") or getattr(self._inside, "now", False):
            return
        self._inside.now = True
        try:
            event = self._event(record)
            if event is not None and not self._log.emit(event):
                self.failed += 1
        except Exception:  # noqa: BLE001 - logging must never break the code that logs; and there is nobody to tell
            self.failed += 1
        finally:
            self._inside.now = False

    def _event(self, record: logging.LogRecord) -> Error | None:
        error = record.exc_info[1] if record.exc_info else None
        given = getattr(record, "fingerprint", None)
        if isinstance(given, str) and given:
            fingerprint = given
        else:
            fingerprint = fingerprint_of_message(record) if error is None else fingerprint_of_exception(error)
        if not self._within_bound(fingerprint):
            self.suppressed += 1
            return None
        message = _message(record) or ("" if error is None else type(error).__name__)
        stack = _stack(record, error)
        return Error(
            level=_level(record.levelno),
            message=_cut(message, self._message_chars_max, 1.0),
            exception_type=None if error is None else _text(class_name(type(error))),
            stack=None if stack is None else _cut(stack, self._stack_chars_max, 0.25),
            fingerprint=_text(fingerprint),
            logger=_text(record.name),
            path=self._path_of(record),
            user_id=_user_id(getattr(record, "user_id", None)),
            occurred_at=datetime.fromtimestamp(record.created, UTC),
        )

    def _within_bound(self, fingerprint: str) -> bool:
        """Count an occurrence. Threads that race here may let one too many pass: that is cheaper than a lock."""
        if self._per_minute_max is None:
            return True
        now = self._monotonic()
        begun, count = self._windows.get(fingerprint, (now, 0))
        if now - begun >= _WINDOW_S:
            begun, count = now, 0
        if fingerprint not in self._windows and len(self._windows) >= _FINGERPRINTS_MAX:
            self._windows.pop(list(self._windows)[0], None)  # noqa: RUF015 - list() is one step that no thread can split
        self._windows[fingerprint] = (begun, count + 1)
        return count < self._per_minute_max

    def _path_of(self, record: logging.LogRecord) -> str | None:
        path = getattr(record, "path", None)
        if path is None and self._path is not None:
            path = self._path()
        return _text(path) if isinstance(path, str) else None


def _level(number: int) -> ErrorLevel:
    if number >= logging.CRITICAL:
        return "CRITICAL"
    if number >= logging.ERROR:
        return "ERROR"
    if number >= logging.WARNING:
        return "WARNING"
    return "INFO" if number >= logging.INFO else "DEBUG"


def _message(record: logging.LogRecord) -> str:
    """Return the message; when its arguments do not fit it, the message without them."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - any object's __str__ may raise anything
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{text} (cannot be formatted)"


def _stack(record: logging.LogRecord, error: BaseException | None) -> str | None:
    """Return the traceback as Python prints it, of at most 64 frames for each exception; without values of locals."""
    if error is not None:
        lines = traceback.TracebackException(type(error), error, error.__traceback__, limit=-_FRAMES_MAX, compact=True)
        return "".join(lines.format())
    # Through a queue the exception arrives as text; stack_info is what stack_info=True asked for.
    return record.exc_text or record.stack_info or None


def _cut(text: str, chars_max: int, head_share: float) -> str:
    """Return at most `chars_max` characters, which have UTF-8; `head_share` of what is kept is the text's beginning."""
    text = _text(text)
    if len(text) <= chars_max:
        return text
    mark = f"\n... {len(text) - chars_max} characters left out ...\n"
    kept = max(chars_max - len(mark), 0)
    head = int(kept * head_share)
    return (text[:head] + mark + text[len(text) - (kept - head) :])[:chars_max]


def _text(text: str) -> str:
    """Return a text that has UTF-8: lone surrogates (from undecodable file names) are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _user_id(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and -_LONG_END <= value < _LONG_END:
        return int(value)
    return None
