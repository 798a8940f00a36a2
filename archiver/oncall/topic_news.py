"""What happened to a topic's archive lately: commits, sealed dates, gaps. Read from the log; nothing of any record."""

from dataclasses import dataclass

from ..log_entries import Entry
from ..log_reading import read_entries
from ..log_state import LogState
from ..object_store import ObjectStore

COMMITS_SHOWN = 8
SEALED_SHOWN = 14
GAPS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class EntryNews:
    """One entry of a log, in numbers. `dt`: of a seal."""

    seq: int
    at: str
    kind: str
    records: int
    quarantined: int
    partitions: int
    files: int
    bytes: int
    writer: str
    dt: str = ""


@dataclass(frozen=True, slots=True)
class GapNews:
    """Offsets [start, end) of a partition that are on record as a gap."""

    partition: int
    start: int
    end: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class TopicNews:
    """A topic's archive; lists are newest first, and cut. `rows`, `quarantined`: of all that is archived."""

    topic: str
    head: int
    entries: tuple[EntryNews, ...]
    sealed: tuple[str, ...]
    sealed_count: int
    open_dates: tuple[str, ...]
    gaps: tuple[GapNews, ...]
    gap_count: int
    rows: int
    quarantined: int


class NewsReader:
    """Reads the news of topics; what was read before is not read again."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, tuple[int, tuple[EntryNews, ...]]] = {}

    def read(self, state: LogState) -> TopicNews:
        """Return a topic's news. Raises LogCorrupt, LogTooNew, StoreError."""
        head, entries = self._known.get(state.topic, (0, ()))
        if state.seq != head:
            after = max(state.seq - COMMITS_SHOWN, head if head < state.seq else 0)
            new = [_entry(each) for each, _ in read_entries(self._store, state.topic, after=after, to=state.seq)]
            entries = tuple([*reversed(new), *(entries if head < state.seq else ())][:COMMITS_SHOWN])
            self._known[state.topic] = state.seq, entries
        sealed = sorted(state.sealed, reverse=True)
        gaps = [
            GapNews(each.identity.partition, gap.start, gap.end, gap.reason)
            for each in state.identities.values()
            for gap in each.gaps
        ]
        return TopicNews(
            topic=state.topic,
            head=state.seq,
            entries=entries,
            sealed=tuple(sealed[:SEALED_SHOWN]),
            sealed_count=len(sealed),
            open_dates=tuple(sorted(set(state.dates) - set(sealed), reverse=True)[:SEALED_SHOWN]),
            gaps=tuple(reversed(gaps[-GAPS_SHOWN:])),
            gap_count=len(gaps),
            rows=sum(each.rows for each in state.identities.values()),
            quarantined=sum(each.quarantined for each in state.identities.values()),
        )


def _entry(entry: Entry) -> EntryNews:
    return EntryNews(
        seq=entry.seq,
        at=entry.at,
        kind=entry.kind,
        records=entry.records,
        quarantined=entry.quarantined,
        partitions=len(entry.spans),
        files=len(entry.files),
        bytes=entry.size,
        writer=entry.writer,
        dt=str(entry.details.get("dt", "")) if entry.kind == "seal" else "",
    )
