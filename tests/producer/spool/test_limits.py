"""The bounds of a spool: which events are refused when, and that they are taken again afterwards."""

from pathlib import Path

import pytest
from spool_kit import Clock, queue, record

from headrace.producer.spool.limits import Gate, SpoolLimits, Usage, measure

MB = 1 << 20


def gate(share: float, free: int = 1 << 40) -> Gate:
    return Gate(Path("x"), SpoolLimits(bytes_max=100 * MB), lambda _: Usage(int(share * 100 * MB), free))


@pytest.mark.parametrize(
    ("share", "refused"),
    [
        (0.69, {}),
        (0.7, {"feed_load": "shed"}),
        (0.84, {"feed_load": "shed"}),
        (0.85, {"feed_load": "shed", "pin": "shed", "follow": "shed", "team": "shed"}),
        (0.99, {"feed_load": "shed", "pin": "shed", "follow": "shed", "team": "shed"}),
        (1.0, dict.fromkeys(("feed_load", "pin", "follow", "team", "login", "error"), "full")),
    ],
)
def test_classes_go_one_after_the_other(share: float, refused: dict[str, str]) -> None:
    """Feed loads are refused from 70%, what is not named from 85%, log-ins and errors only when it is full."""
    made = gate(share)
    told = {kind: made.refusal(kind) for kind in ("feed_load", "pin", "follow", "team", "login", "error")}
    assert {kind: reason for kind, reason in told.items() if reason} == refused


def test_classes_are_configurable() -> None:
    """A mapping of one's own replaces the classes."""
    made = Gate(Path("x"), SpoolLimits(bytes_max=MB, classes={"pin": "high"}), lambda _: Usage(MB * 9 // 10, 1 << 40))
    assert (made.refusal("pin"), made.refusal("error")) == (None, "shed")


def test_the_disk_keeps_its_floor() -> None:
    """Below the free bytes that must stay, nothing is taken, of any class."""
    assert gate(0, free=SpoolLimits().free_bytes_min - 1).refusal("error") == "disk_full"
    assert gate(0, free=SpoolLimits().free_bytes_min).refusal("feed_load") is None


def test_no_room_on_the_disk_is_not_a_full_spool() -> None:
    """A new file that the disk has no room for is refused as disk_full, one beyond the spool's own bytes as full."""
    assert gate(0, free=SpoolLimits().free_bytes_min + MB - 1).no_room_for(MB) == "disk_full"
    assert gate(0.995, free=SpoolLimits().free_bytes_min + MB).no_room_for(MB) == "full"
    assert gate(0.98, free=SpoolLimits().free_bytes_min + MB).no_room_for(MB) is None


@pytest.mark.parametrize(
    "wrong",
    [{"bytes_max": 1000}, {"age_s_max": 0}, {"segment_bytes": 1}, {"free_bytes_min": -1}, {"classes": {"a": "b"}}],
)
def test_bounds_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    """A bound that makes no sense is told when it is made."""
    with pytest.raises(ValueError, match="SpoolLimits"):
        SpoolLimits(**wrong)  # type: ignore[arg-type] # wrong on purpose


def test_the_folder_stays_within_its_bytes(tmp_path: Path) -> None:
    """Two processes' folders together: low classes stop first, the bytes stay within the bound, room comes back."""
    limits = SpoolLimits(bytes_max=2 * MB, segment_bytes=64 << 10, free_bytes_min=0)
    clock = Clock()
    first, second = queue(tmp_path, clock, limits), queue(tmp_path, clock, limits)
    stopped: dict[str, int] = {}
    for number in range(40_000):
        each = (first, second)[number % 2]
        for kind in ("feed_load", "pin", "error"):
            if not each.append(record(number, kind=kind)):
                stopped.setdefault(kind, measure(tmp_path).spool_bytes)
        if len(stopped) == 3:
            break
        if number % 50 == 0:
            clock.seconds += 1
            first.tend()
            second.tend()
    assert measure(tmp_path).spool_bytes <= 2 * MB
    assert 1.3 * MB < stopped["feed_load"] < stopped["pin"] < stopped["error"] <= 2 * MB
    assert each.full("error")
    for made in (first, second):
        while batch := made.read(1000):
            for position, _ in batch:
                made.ack(position)
    for _ in range(3):
        clock.seconds += 1
        first.tend()
        second.tend()
    assert not each.full("feed_load")
    assert each.append(record(1, kind="feed_load"))
    for made in (first, second):
        made.close()


def test_forced_records_pass_the_classes(tmp_path: Path) -> None:
    """What was promised to a re-entrant emit() is taken although its class is refused."""
    limits = SpoolLimits(bytes_max=MB, free_bytes_min=1 << 60)
    made = queue(tmp_path, limits=limits)
    assert not made.append(record(0))
    assert made.refusal == "disk_full"
    assert made.append(record(0), force=True)
    made.close()


def test_a_spool_that_was_just_removed_is_no_full_disk(tmp_path: Path) -> None:
    """A process makes its folder anew when somebody removed it; until then nothing is refused for the disk's sake."""
    assert measure(tmp_path / "removed").free_bytes > 0
