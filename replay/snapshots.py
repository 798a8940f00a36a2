"""What a snapshot's files are, and what came and went between two snapshots. Reads the log only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.archiver.commit_log import read_state
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
    state = _at(store, topic, "--at", at)
    if state.seq == 0:
        raise unknown_topic(store, topic)
    if since is None:
        files = tuple(state.files.select(dates=dates, kinds=kinds))
        return SnapshotFiles(topic, state.seq, state.head_sha256, None, files, ())
    if since > state.seq:
        raise _missing("--since", since, topic, state.seq)
    files = tuple(state.files.select(dates=dates, kinds=kinds, after=since))
    before = _at(store, topic, "--since", since)
    removed = tuple(each for each in before.files.select(dates=dates, kinds=kinds) if each.file.key not in state.files)
    return SnapshotFiles(topic, state.seq, state.head_sha256, since, files, removed)


def _at(store: ObjectStore, topic: str, option: str, seq: int | None) -> LogState:
    if option == "--at" and seq is not None and seq < 1:
        raise RangeMissing(f"snapshot {seq} of {topic} does not exist: the first one is 1")
    try:
        return read_state(store, topic, at=seq)
    except KeyError:
        newest = read_state(store, topic)
    if newest.seq == 0:
        raise unknown_topic(store, topic)
    raise _missing(option, seq, topic, newest.seq)


def _missing(option: str, seq: int | None, topic: str, newest: int) -> RangeMissing:
    return RangeMissing(f"{option} {seq}: the log of {topic} has snapshots 1 to {newest} here")


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
