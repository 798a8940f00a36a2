"""The ack cursor: a hint where reading may begin. Losing it, or a damaged one, repeats deliveries and loses nothing."""

import contextlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from .chain_reader import Start
from .segment_files import Segment
from .segment_format import HEADER_BYTES, parse_at

FILE = "cursor"


class Cursor(NamedTuple):
    """All records before this position are done; it stands at this offset of this segment."""

    number: int
    offset: int
    position: int


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Replace the cursor in one step; on a disk that refuses it there is none."""
    text = f"headrace-cursor 1 {cursor.number} {cursor.offset} {cursor.position}"
    new = folder / f"{FILE}.new"
    try:
        new.write_text(f"{text} {zlib.crc32(text.encode()):08x}\n")
        os.replace(new, folder / FILE)  # noqa: PTH105 - what is meant is the system call
    except OSError:
        # None at all is better than one whose segment is about to be removed: removing works on a full disk too.
        for stale in (new, folder / FILE):
            with contextlib.suppress(OSError):
                stale.unlink()


def read_cursor(folder: Path) -> Cursor | None:
    """Return the cursor, or None when there is none that can be trusted."""
    try:
        text, _, crc = (folder / FILE).read_text().strip().rpartition(" ")
        name, version, *numbers = text.split(" ")
        if (name, version) != ("headrace-cursor", "1") or int(crc, 16) != zlib.crc32(text.encode()):
            return None
        return Cursor(*(int(each) for each in numbers))
    except (OSError, ValueError, TypeError):
        return None


def start_of(chain: list[Segment], cursor: Cursor | None) -> Start:
    """Return where to begin reading a dead process's chain, which is not empty; raise OSError."""
    first = chain[0]
    if cursor is None or cursor.number > chain[-1].number:
        return Start(first, HEADER_BYTES, first.first_position)
    for segment in chain:
        if segment.number == cursor.number:
            if _leads_somewhere(segment, cursor):
                return Start(segment, cursor.offset, cursor.position)
            break  # damaged there: what stands behind it in this segment is not done
        if segment.number > cursor.number:
            # Its segment is gone: what it held is done, unless somebody removed it, and then the jump is counted.
            return Start(segment, HEADER_BYTES, cursor.position)
    return Start(first, HEADER_BYTES, first.first_position)


def _leads_somewhere(segment: Segment, cursor: Cursor) -> bool:
    """Tell whether the record it names stands there, or nothing was written from there on."""
    if not HEADER_BYTES <= cursor.offset <= segment.size:
        return False
    data = segment.read(cursor.offset, segment.size)
    stored = parse_at(data, 0, segment.seed)
    return data[:4] == bytes(4)[: len(data)] if stored is None else stored.position == cursor.position
