"""Looks at the dead letters of a spool from outside, and changes nothing."""

import base64
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .dead_letters import Kept, files_of, lines_of, parsed


@dataclass
class DeadLetters:
    """What a service has put aside."""

    service: str
    count: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)
    sendable: int = 0
    """How many are kept whole, and can be sent again."""
    bytes: int = 0
    damaged: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None
    found: list[tuple[str, Kept]] = field(default_factory=list)
    """Each letter with the process that put it aside, oldest first."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values by name, without the letters themselves."""
        return {name: value for name, value in asdict(self).items() if name != "found"}


def look_at_letters(spool: Path) -> list[DeadLetters]:
    """Return what is put aside in a spool, by service; raise OSError when the folder itself cannot be read."""
    services = sorted(path for path in spool.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [_of_service(service) for service in services]
    return [each for each in found if each.count or each.damaged]


def _of_service(service: Path) -> DeadLetters:
    letters = DeadLetters(unquote(service.name))
    for path in files_of(service):
        try:
            lines = lines_of(path)
        except OSError:
            continue  # sent, or taken, since
        letters.bytes += sum(map(len, lines))
        for line in lines:
            kept = parsed(line)
            if kept is None:
                letters.damaged += 1
                continue
            letters.found.append((path.name.rpartition(".")[0], kept))
    letters.found.sort(key=lambda each: each[1].at_ms)
    letters.count = len(letters.found)
    for _, kept in letters.found:
        reason = kept.letter.reason
        letters.by_reason[reason] = letters.by_reason.get(reason, 0) + 1
        letters.sendable += kept.letter.record is not None
    if letters.found:
        letters.oldest_ms, letters.newest_ms = letters.found[0][1].at_ms, letters.found[-1][1].at_ms
    return letters


def letter_json(process: str, kept: Kept, *, payload: bool) -> dict[str, Any]:
    """Return a letter as plain values: key and value (base64) only when `payload` is asked for."""
    letter, record = kept.letter, kept.letter.record
    held: dict[str, Any] = {
        "process": process, "at_ms": kept.at_ms, "reason": letter.reason, "error": letter.error,
        "type": letter.event_type, "sendable": record is not None,
    }  # fmt: skip
    if record is not None:
        held |= {"topic": record.topic, "seq": record.seq, "bytes": len(record.value)}
        if payload:
            held["key"] = None if record.key is None else base64.b64encode(record.key).decode()
            held["value"] = base64.b64encode(record.value).decode()
    return held
