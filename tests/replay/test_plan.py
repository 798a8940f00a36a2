"""In which order files are read: offsets of each partition only rise, whatever the order in which files came."""

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.archiver.log_entries import FileEntry, PartEntry
from headrace.archiver.log_state import CommittedFile, Identity, LogState, PartitionState
from headrace.replay.plan import make_plan
from headrace.replay.selection import Selection


def state_of(files: list[dict[int, list[int]]]) -> LogState:
    """A state whose files hold these offsets by partition, in this order."""
    state = LogState("pin", seq=1, topic_id="T")
    nexts: dict[int, int] = {}
    for number, by_partition in enumerate(files):
        parts = [
            PartEntry(partition, 0, len(offsets), min(offsets), max(offsets), "")
            for partition, offsets in sorted(by_partition.items())
        ]
        entry = FileEntry("data", f"f{number}", "2026-11-23", 1, "", sum(p.rows for p in parts), 0, tuple(parts))
        state.files[entry.key] = CommittedFile(entry, number, "T", dict.fromkeys(by_partition, 0))
        for part in parts:
            nexts[part.partition] = max(nexts.get(part.partition, 0), part.last + 1)
    for partition, next_ in nexts.items():
        identity = Identity("T", partition, 0)
        state.identities[identity] = PartitionState(identity, 0, next_)
        state._newest["T", partition] = identity
    return state


def units_of(files: list[dict[int, list[int]]]) -> list[list[str]]:
    plan = make_plan(state_of(files), Selection())
    return [[read.committed.file.key for read in unit.files] for unit in plan.units]


def test_files_that_follow_each_other_are_units_of_their_own() -> None:
    """Memory is bounded by one file where nothing interleaves."""
    assert units_of([{0: [0, 1]}, {0: [2, 3]}, {0: [4]}]) == [["f0"], ["f1"], ["f2"]]


def test_files_whose_offsets_interleave_are_one_unit() -> None:
    """Two dates of one flush are read together."""
    assert units_of([{0: [0, 2]}, {0: [1, 3]}, {0: [4]}]) == [["f0", "f1"], ["f2"]]


def test_early_offsets_in_a_late_file_are_read_first() -> None:
    """A rewrite adds old offsets at the end of the log: they are read in their place."""
    assert units_of([{0: [5, 6]}, {0: [0, 1]}]) == [["f1"], ["f0"]]


def test_files_that_precede_each_other_crosswise_are_one_unit() -> None:
    """f0 is first in partition 0, f1 in partition 1: only together can both be in order."""
    assert units_of([{0: [0], 1: [1]}, {0: [1], 1: [0]}]) == [["f0", "f1"]]


FILES = st.dictionaries(st.integers(0, 2), st.lists(st.integers(0, 20), min_size=1), min_size=1)


@settings(max_examples=100, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=7))
def test_over_any_files_every_partition_rises_from_unit_to_unit(files: list[dict[int, list[int]]]) -> None:
    """No unit holds an offset that is not above all offsets of its partition in the units before; no file is lost."""
    units = units_of(files)
    assert sorted(key for unit in units for key in unit) == sorted(f"f{number}" for number in range(len(files)))
    highest: dict[int, int] = {}
    for unit in units:
        held = [(partition, o) for key in unit for partition, os in files[int(key[1:])].items() for o in os]
        for partition, offset in held:
            assert offset > highest.get(partition, -1)
        for partition, offset in held:
            highest[partition] = max(highest.get(partition, -1), offset)
