"""What the command line writes reaches a terminal harmless, whoever named the topic, wrote the error or sent the event.

Both streams are guarded for as long as a verb runs: of all that a terminal obeys, only the colours that click gives to
our own words pass, and the carriage return that begins a line of progress. Piped output is guarded too, for it is often
piped to what shows it; data in forms that have no escapes (CSV) goes to unguarded() where that is no terminal.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from headrace.schemas.safe_text import safe_lines

# Normal, bold, dim, and the colours; a line of progress begins with \r and may clear what was there.
_OURS = re.compile(r"(\x1b\[(?:0|1|2|3[1-6])m|\A\r(?:\x1b\[K)?)")


class GuardedStream:
    """A text stream that lets through what is harmless. All but write() is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def write(self, text: str) -> int:
        """Write text, with what is not harmless escaped; return its length."""
        pieces = _OURS.split(text)  # those at odd places are ours
        safe = "".join(piece if at % 2 else safe_lines(piece) for at, piece in enumerate(pieces))
        if self.unguarded.encoding.lower() in ("ascii", "ansi_x3.4-1968", "us-ascii"):
            safe = safe.encode("ascii", "backslashreplace").decode("ascii")
        self.unguarded.write(safe)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def encoding(self) -> str:
        """The encoding; click would go round a stream that says ASCII, and this one copes with it."""
        return "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard standard output and standard error for as long as the block lasts."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", GuardedStream(unguarded(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream itself: for what moves the cursor on purpose, or writes data where there is no terminal."""
    return stream.unguarded if isinstance(stream, GuardedStream) else stream
