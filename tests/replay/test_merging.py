"""Files whose offsets interleave: merged one after the other, in order, with little in memory."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from no_schemas import NoSchemas
from rewriter_kit import rewriter_options
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value, rows

from headrace.archiver.commit_log import read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.quarantine_retry import QuarantineRetry
from headrace.replay import open as open_archive
from headrace.replay.merging import in_reading_order
from headrace.replay.plan import FileRead, make_plan
from headrace.replay.reader import Reading
from headrace.replay.selection import Selection
from headrace.replay.verify import verify_archive

COMMITS, ROWS = 20, 6


def retried(partitions: int) -> SmallArchive:
    """Twenty commits, each with a record in quarantine, and one file that a retry made of all of these."""
    archive = SmallArchive(schemas=NoSchemas())
    known = SmallArchive().schemas
    for number in range(COMMITS):
        for unknown in (False, True):
            archive.schemas = NoSchemas() if unknown else known
            start = number * ROWS + (ROWS - 1 if unknown else 0)
            end = start + (1 if unknown else ROWS - 1)
            archive.commit([record(p, o) for p in range(partitions) for o in range(start, end)])
    options = rewriter_options("h:1:retry")
    done = QuarantineRetry(archive.memory, "pin", known, **options).run()
    assert done.decoded == COMMITS * partitions
    return archive


def record(partition: int, offset: int) -> Rec:
    return Rec(partition, offset, pin_value(offset), b"k%d" % partition, NOV_23_MS + offset)


def test_a_file_that_reaches_over_many_is_merged_as_they_come() -> None:
    """In a unit of 20 files records go out before most files are fetched, in order, and each object is fetched once."""
    archive = retried(2)
    plan = make_plan(read_state(archive.memory, "pin"), Selection())
    assert [len(unit.files) for unit in plan.units] == [1, COMMITS]
    fetched: list[str] = []

    def count(operation: str, key: str) -> None:
        if operation == "get" and key.startswith("data/"):
            fetched.append(key)

    archive.memory.fault = count
    out: dict[int, list[Rec]] = {0: [], 1: []}
    chunks = 0
    for chunk in Reading(archive.memory, plan, fetch_threads=0).chunks():
        out[chunk.partition] += rows([chunk.records])
        chunks += 1
        behind = len(fetched) * ROWS - len(out[0])
        assert behind <= 3 * ROWS, "what is fetched and not out yet is a file or two, not the unit"
    assert out == {p: [record(p, o) for o in range(COMMITS * ROWS)] for p in (0, 1)}
    assert chunks >= 2 * COMMITS
    assert len(fetched) == len(set(fetched)) == COMMITS + 1


def test_decoded_columns_and_conditions_follow_their_rows() -> None:
    """Tables of merged rows have the rows of the records, and --where chooses among them."""
    archive = retried(1)
    reading = open_archive(archive.store).read("pin", where="user_id % 6 in (4, 5)")
    table = reading.arrow()
    wanted = [o for o in range(COMMITS * ROWS) if o % ROWS in (4, 5)]
    assert table.column("_offset").to_pylist() == wanted
    assert table.column("user_id").to_pylist() == wanted
    assert open_archive(archive.store).read("pin", digests=False).arrow().column("user_id").to_pylist() == list(
        range(COMMITS * ROWS)
    )


def test_compaction_beside_what_a_retry_made() -> None:
    """A date with a retry's file in it is compacted, however the files reach over each other; all reads as before."""
    archive = retried(2)
    everything = rows([c.records for c in reading_of(archive).chunks()])
    options = rewriter_options("h:1:compact")
    Compactor(archive.memory, "pin", limits=CompactLimits(), **options).run("2026-11-23")
    order: Callable[[Rec], tuple[int, int]] = lambda r: (r.partition, r.offset)  # noqa: E731
    after = rows([c.records for c in reading_of(archive).chunks()])
    assert sorted(after, key=order) == sorted(everything, key=order)
    report, _ = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings


def reading_of(archive: SmallArchive) -> Reading:
    return Reading(archive.memory, make_plan(read_state(archive.memory, "pin"), Selection()))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_interleaving_comes_out_in_order(data: st.DataObject) -> None:
    """Retries at random moments over random commits of both kinds: each partition's records come in order, once."""
    archive, known = SmallArchive(schemas=NoSchemas()), SmallArchive().schemas
    nexts, written = [0, 0], []
    for _ in range(data.draw(st.integers(1, 8))):
        archive.schemas = known if data.draw(st.booleans()) else NoSchemas()
        flush = []
        for partition in sorted(data.draw(st.sets(st.sampled_from([0, 1]), min_size=1))):
            for _ in range(data.draw(st.integers(1, 3))):
                flush.append(record(partition, nexts[partition]))
                nexts[partition] += data.draw(st.integers(1, 2))
        archive.commit(flush)
        written += flush
        if data.draw(st.booleans()):
            QuarantineRetry(archive.memory, "pin", known, **rewriter_options("h:1:retry")).run()
    reading = reading_of(archive)
    found = rows([chunk.records for chunk in reading.chunks()])
    for partition in (0, 1):
        assert [r for r in found if r.partition == partition] == [r for r in written if r.partition == partition]
    for unit in reading.plan.units:
        assert sorted(in_reading_order(unit), key=key_of) == sorted(unit.files, key=key_of)


def key_of(read: FileRead) -> str:
    return read.committed.file.key
