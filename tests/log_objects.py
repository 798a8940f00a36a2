"""Small log entries for tests."""

from collections.abc import Sequence

from headrace.archiver.log_entries import Entry, FileEntry, PartEntry, Span


def span(partition: int, start: int, end: int, *, lineage: int = 0, rows: int | None = None) -> Span:
    """A span whose every offset is a row, unless `rows` says otherwise."""
    return Span(partition, lineage, start, end, rows=end - start if rows is None else rows)


def file_of(spans: Sequence[Span], key: str) -> FileEntry:
    """A data file that holds the rows of these spans."""
    parts: list[PartEntry] = []
    for s in spans:
        if s.rows:
            start = sum(part.rows for part in parts)
            parts.append(PartEntry(s.partition, start, s.rows, s.start, s.end - 1, "d" * 64))
    rows = sum(part.rows for part in parts)
    return FileEntry("data", key, "2026-11-23", 100, "a" * 64, rows, 0, tuple(parts))


def commit(*spans: Span, entry_id: str = "e1", topic_id: str = "T1", cluster_id: str = "C") -> Entry:
    """A commit entry of topic pin, with one data file for all its rows."""
    held = file_of(spans, f"data/topic=pin/dt=2026-11-23/{entry_id}.parquet")
    files = (held,) if held.rows else ()
    return Entry(
        kind="commit",
        topic="pin",
        cluster_id=cluster_id,
        entry_id=entry_id,
        writer="test:1:0",
        at="2026-11-23T00:00:00.000000Z",
        topic_id=topic_id,
        spans=spans,
        files=files,
    )
