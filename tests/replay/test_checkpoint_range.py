"""Replays between named checkpoints."""

import pytest
from small_archive import Rec, SmallArchive

import headrace.replay
from headrace.archiver.log_entries import Gap, log_key
from headrace.archiver.log_state import LogViolation
from headrace.archiver.named_checkpoint import CheckpointRefused, create_checkpoint
from headrace.replay import RequestRefused


def raw(partition: int, start: int, end: int) -> list[Rec]:
    return [Rec(partition, offset, b"%d" % offset) for offset in range(start, end)]


def named(archive: SmallArchive, name: str) -> None:
    create_checkpoint(archive.store, name, [archive.topic], writer="test", at="2026-11-23T12:00:00Z")


def places(archive: SmallArchive, from_: str | None, to: str | None) -> set[tuple[int, int]]:
    chosen = headrace.replay.open(archive.store).read(archive.topic, from_=from_, to=to, allow_empty=True)
    return {(r.partition, r.offset) for r in chosen}


def test_what_came_between_two_checkpoints_is_read() -> None:
    """Each partition by its own offsets; a partition that is new after the first is whole, and none of it before."""
    archive = SmallArchive("raw", form="raw")
    archive.commit(raw(0, 0, 3) + raw(1, 5, 6))
    named(archive, "a")
    archive.commit(raw(0, 3, 5) + raw(2, 0, 2))
    named(archive, "b")
    archive.commit(raw(1, 6, 9) + raw(2, 2, 3))
    assert places(archive, "checkpoint:a", "checkpoint:b") == {(0, 3), (0, 4), (2, 0), (2, 1)}
    assert places(archive, None, "checkpoint:a") == {(0, 0), (0, 1), (0, 2), (1, 5)}
    assert places(archive, "checkpoint:b", None) == {(1, 6), (1, 7), (1, 8), (2, 2)}
    assert places(archive, "checkpoint:b", "checkpoint:b") == set()


def test_checkpoints_of_another_identity_or_log_are_refused() -> None:
    """A lineage that ended since, an unknown name, a log that was changed since: each is said."""
    archive = SmallArchive("raw", form="raw")
    archive.commit(raw(0, 0, 3))
    named(archive, "a")
    with pytest.raises(CheckpointRefused, match="there are: a"):
        places(archive, "checkpoint:nope", None)
    archive.commit([], ends={0: 3}, gaps={0: [Gap(3, None, "diverged")]})
    archive.commit(raw(0, 2, 4), lineages={0: 1})
    with pytest.raises(RequestRefused, match="--lineage 0"):
        places(archive, "checkpoint:a", None)
    key = log_key("raw", 1)
    archive.memory.objects[key] = archive.memory.objects[key].replace(b"12:00", b"13:00")
    with pytest.raises(LogViolation, match="hash"):
        places(archive, "checkpoint:a", None)
