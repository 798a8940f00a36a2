"""One short text for all occurrences of the same error, whatever line it is on and whatever values it is about.

The recipe, version 1. With an exception: the class (module and qualified name) of it and of each exception that it was
raised from or during, and for each of them the functions of its traceback, outermost first, as `module:qualified name`.
A function that follows itself is named once, so that the depth of a recursion does not matter; of a long traceback the
last 32 functions count. Not in it: line numbers, file paths, messages, values. Without an exception: the logger's name,
the message before its arguments are put in (or the class of what is logged instead of a text), and the function that
logged. The fingerprint is the first 16 hex digits of
the SHA-256 of these, one a line.

So it stays the same when lines move, when a deployment lies in another folder, and when the message names another user;
it changes when a function on the way is renamed or moved to another module, and with a library's inner functions.
"""

import hashlib
import logging
from collections.abc import Iterator
from types import TracebackType

_FUNCTIONS_MAX = 32
_CAUSES_MAX = 8
_DIGITS = 16


def fingerprint_of_exception(error: BaseException) -> str:
    """Return an exception's fingerprint: 16 hex digits."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _CAUSES_MAX:
        seen.add(id(current))
        parts.append(class_name(type(current)))
        parts += _functions(current.__traceback__)
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return _digest(parts)


def fingerprint_of_message(record: logging.LogRecord) -> str:
    """Return the fingerprint of a log record that has no exception: 16 hex digits."""
    text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    return _digest([record.name, text, f"{record.module}:{record.funcName}"])


def class_name(kind: type[BaseException]) -> str:
    """Return a class as people write it: with its module, unless it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _functions(trace: TracebackType | None) -> list[str]:
    names: list[str] = []
    for name in _walk(trace):
        if not names or names[-1] != name:
            names.append(name)
    return names[-_FUNCTIONS_MAX:]


def _walk(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        frame = trace.tb_frame
        yield f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
        trace = trace.tb_next


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:_DIGITS]
