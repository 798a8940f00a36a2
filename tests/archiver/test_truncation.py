"""What a lost offset means: retention, another history, or markers that only look like one."""

import pytest

from headrace.archiver.held import Held
from headrace.archiver.truncation import Diverged, ReadAgain, Retained, meaning_of

CUT_AT_7 = "Partition log truncation detected at offset 10: broker end offset is 7 (offset leader epoch was 1)"


def held(start: int = 10, end: int | None = None, epoch: int = 1, again_from: int | None = None) -> Held:
    return Held(0, start, start if end is None else end, epoch, again_from=again_from)


@pytest.mark.parametrize(
    ("detail", "at", "low", "end", "rows_end", "meaning"),
    [
        ("out of range", held(), 12, 20, 10, Retained(12)),
        ("out of range", held(10, 15), 12, 20, 10, ReadAgain(10)),
        ("out of range", held(), 2, 8, 10, Diverged(2, -1)),
        (CUT_AT_7, held(), 2, 30, 10, Diverged(7, 1)),
        (CUT_AT_7, held(), 9, 30, 10, Diverged(7, 1)),
        (CUT_AT_7, held(10, 15), 2, 30, 10, ReadAgain(10)),
        (CUT_AT_7, held(10, 15, epoch=-1), 2, 30, 10, Diverged(7, -1)),
        (CUT_AT_7, held(), 2, 30, 7, ReadAgain(7)),
        (CUT_AT_7, held(5), 2, 6, 5, Diverged(5, -1)),
        ("out of range", held(10, epoch=-1, again_from=3), 6, 20, 0, ReadAgain(6)),
        ("out of range", held(10, epoch=-1, again_from=3), 12, 20, 0, Retained(12)),
        ("out of range", held(10, epoch=-1, again_from=3), 0, 2, 0, Diverged(0, -1)),
    ],
    ids=[
        "retention overtook",
        "retention overtook what is not committed: the log decides",
        "the log is shorter, nobody knows where it parted",
        "the client says where it parted",
        "it parted, and retention deleted the place since",
        "what is not committed may be what was lost",
        "as before, but the client could not compare again",
        "only markers lie between the last record and where the log stands",
        "the client compared for an offset that is not committed",
        "retention took some of what is only read again",
        "retention took all of it, and more",
        "the log is shorter than what is read again",
    ],
)
def test_meaning(  # noqa: PLR0917 - the columns of the table
    detail: str, at: Held, low: int, end: int, rows_end: int, meaning: Retained | ReadAgain | Diverged
) -> None:
    """Each kind of lost offset is told from the others."""
    assert meaning_of(detail, at, low=low, end=end, rows_end=lambda: rows_end) == meaning
