"""What a snapshot's files are, and what came and went between two snapshots. Reads the log only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.archiver.commit_log import read_entries
from headrace.archiver.log_entries import log_key, sha256_of
from headrace.archiver.log_state import CommittedFile, LogState
from headrace.archiver.object_store import ObjectStore

from .errors import RangeMissing
from .loading import object_url
from .reader import unknown_topic

FILES_VERSION = 1


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """Files of a snapshot. With `since`: those added after it and still there, and those removed after it."""

    topic: str
    snapshot: int
    head_sha256: str
    since: int | None
    files: tuple[CommittedFile, ...]
    removed: tuple[CommittedFile, ...]

    def as_json(self, store: ObjectStore) -> dict[str, Any]:
        """Return the documented JSON form, version 1."""
        value: dict[str, Any] = {
            "version": FILES_VERSION,
            "topic": self.topic,
            "snapshot": self.snapshot,
            "head_sha256": self.head_sha256,
        }
        if self.since is None:
            return {**value, "files": [_file_json(store, each) for each in self.files]}
        return {
            **value,
            "since": self.since,
            "added": [_file_json(store, each) for each in self.files],
            "removed": [_file_json(store, each) for each in self.removed],
        }


def snapshot_files(
    store: ObjectStore,
    topic: str,
    *,
    at: int | None = None,
    since: int | None = None,
    dates: Sequence[str] = (),
    kinds: Sequence[str] = ("data", "quarantine"),
) -> SnapshotFiles:
    """Return the committed files of a snapshot, in the order of their commits.

    `at`, `since`: log seqs; `since` 0 is the empty log. Raises TopicUnknown, RangeMissing for a seq that the log does
    not have, StoreError, LogCorrupt, LogTooNew, LogViolation.
    """
    state = LogState(topic)
    before: dict[str, CommittedFile] = {}
    for entry, body in read_entries(store, topic):
        if at is not None and entry.seq > at:
            break
        state.apply(entry, sha256_of(body), object_url(store, log_key(topic, entry.seq)))
        if entry.seq == since:
            before = dict(state.files)
    if state.seq == 0:
        if at is not None and at < 1:
            raise RangeMissing(f"snapshot {at} of {topic} does not exist: the first one is 1")
        raise unknown_topic(store, topic)
    for name, seq in (("--at", at), ("--since", since)):
        if seq is not None and not (0 if name == "--since" else 1) <= seq <= state.seq:
            raise RangeMissing(f"{name} {seq}: the log of {topic} has snapshots 1 to {state.seq} here")

    def chosen(files: Iterable[CommittedFile]) -> tuple[CommittedFile, ...]:
        return tuple(f for f in files if (not dates or f.file.dt in dates) and f.file.kind in kinds)

    added = [each for key, each in state.files.items() if key not in before]
    removed = [each for key, each in before.items() if key not in state.files]
    return SnapshotFiles(topic, state.seq, state.head_sha256, since, chosen(added), chosen(removed))


def _file_json(store: ObjectStore, committed: CommittedFile) -> dict[str, Any]:
    file = committed.file
    return {
        "url": object_url(store, file.key),
        "kind": file.kind,
        "dt": file.dt,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "rows": file.rows,
        "late": file.late,
        "seq": committed.seq,
        "partitions": [part.partition for part in file.parts],
    }
