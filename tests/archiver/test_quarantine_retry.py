"""Quarantine's retry: the same records, now as rows, whatever runs beside it and wherever it dies."""

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import fastavro
import pytest
from no_schemas import NoSchemas
from rewriter_kit import Stopped, rewriter_options
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value, rows

from headrace.archiver.commit_log import read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.failpoints import RETRY_FAILPOINTS, no_failpoint
from headrace.archiver.file_table import FileTable
from headrace.archiver.garbage import unreferenced
from headrace.archiver.log_entries import Entry, decode, log_key
from headrace.archiver.log_state import LogState, LogViolation
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.parquet_file import FileCorrupt
from headrace.archiver.quarantine_retry import QuarantineRetry, Retried
from headrace.replay.reader import read
from headrace.replay.verify import verify_archive
from headrace.schemas.canonical import fingerprint
from headrace.schemas.catalog import builtin

DATE, NEXT_DATE = "2026-11-23", "2026-11-24"


class Builtin(NoSchemas):
    """Knows headrace's own types."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        return builtin().text_by_fingerprint(fingerprint)


def retry(
    store: MemoryStore,
    *,
    name: str = "h:1:retry",
    failpoint: Callable[[str], None] = no_failpoint,
    gone: Callable[[str], bool] = lambda _writer: False,
    schemas: NoSchemas | None = None,
    dates: tuple[str, ...] = (),
) -> Retried:
    options = rewriter_options(name, failpoint=failpoint, is_gone=gone)
    return QuarantineRetry(store, "pin", schemas or Builtin(), **options).run(dates)


def archive_of(commits: int) -> SmallArchive:
    """Commits of two partitions while the schema is not known (all but tombstones in quarantine), and one after.

    Events of two dates, records that are no events at all, headers, keys; the archive knows the schema at the end.
    """
    archive = SmallArchive(schemas=NoSchemas())
    for number in range(commits):
        archive.commit(batch(number))
    archive.schemas = Builtin()
    archive.commit(batch(commits))
    return archive


def batch(number: int) -> list[Rec]:
    return [
        Rec(p, o, value, b"k%d" % o, NOV_23_MS + o, [("h", None), ("h", b"2")] if o % 3 == 0 else [])
        for p in (0, 1)
        for o, value in enumerate(
            [
                *(pin_value(number), None, b"junk" if p else pin_value(9)),
                pin_value(number + 1, at_ms=NOV_23_MS + DAY_MS),
            ],
            number * 4,
        )
    ]


def everything(archive: SmallArchive) -> list[Rec]:
    return sorted(rows(list(read(archive.store, "pin"))), key=lambda r: (r.partition, r.offset))


def counts(archive: SmallArchive) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for each in read_state(archive.memory, "pin").files.values():
        place = each.file.kind, each.file.dt
        found[place] = found.get(place, 0) + each.file.rows
    return found


def assert_sound(archive: SmallArchive, before: list[Rec]) -> None:
    assert everything(archive) == before
    report, _ = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings


def test_what_decodes_now_becomes_rows_of_its_events_date() -> None:
    """Every record is the same byte for byte; only what is no event stays in quarantine; old objects are gone."""
    archive = archive_of(5)
    before = everything(archive)
    assert counts(archive) == {("data", DATE): 15, ("data", NEXT_DATE): 2, ("quarantine", DATE): 31}
    done = retry(archive.memory)
    assert (done.records, done.decoded, done.left) == (31, 25, 6)
    assert counts(archive) == {("data", DATE): 30, ("data", NEXT_DATE): 12, ("quarantine", DATE): 6}
    state = read_state(archive.memory, "pin")
    assert state.dates == {DATE: (30, 0), NEXT_DATE: (12, 0)}
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert_sound(archive, before)


def test_a_second_retry_changes_nothing() -> None:
    """What still does not decode is left alone: no entry, no object, and the count says so."""
    archive = archive_of(3)
    retry(archive.memory)
    objects = dict(archive.memory.objects)
    done = retry(archive.memory)
    assert (done.decoded, done.left, done.rewrites) == (0, 4, [])
    assert archive.memory.objects == objects


def test_without_the_schema_nothing_changes() -> None:
    """The schema is still unknown: all of it is left as it was."""
    archive = archive_of(3)
    objects = dict(archive.memory.objects)
    done = retry(archive.memory, schemas=NoSchemas())
    assert (done.decoded, done.left) == (0, 19)
    assert archive.memory.objects == objects


def test_only_the_dates_that_were_asked_for() -> None:
    """Quarantine of another date stays."""
    archive = archive_of(2)
    assert retry(archive.memory, dates=(NEXT_DATE,)).records == 0
    assert retry(archive.memory, dates=(DATE,)).decoded > 0


@pytest.mark.parametrize("point", RETRY_FAILPOINTS)
def test_dying_at_any_step_leaves_the_archive_right(point: str) -> None:
    """After a death at each step the records are the same; the next run ends the dead one's intent and finishes."""
    archive = archive_of(4)
    before = everything(archive)

    def dead(_operation: str, _key: str) -> None:
        raise Stopped

    def die(name: str) -> None:
        if name == point:
            archive.memory.fault = dead
            raise Stopped

    with pytest.raises(Stopped):
        retry(archive.memory, failpoint=die)
    archive.memory.fault = lambda _operation, _key: None
    assert_sound(archive, before)
    retry(archive.memory, name="h:2:retry", gone=lambda writer: writer == "h:1:retry")
    state = read_state(archive.memory, "pin")
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert counts(archive)["quarantine", DATE] == 5
    assert state.dates == {DATE: (25, 0), NEXT_DATE: (10, 0)}
    assert_sound(archive, before)


@pytest.mark.parametrize("point", RETRY_FAILPOINTS)
@pytest.mark.parametrize("other", ["retry", "compact"])
def test_two_rewrites_at_once(point: str, other: str) -> None:
    """Another retry, or a compaction of the same files, runs while the first stands at any step: all stands once."""
    archive = archive_of(4)
    before = everything(archive)
    second: list[object] = []

    def interfere(name: str) -> None:
        if name != point or second:
            return
        if other == "retry":
            second.append(retry(archive.memory, name="h:2:retry"))
        else:
            second.append(compact(archive))

    retry(archive.memory, failpoint=interfere)
    state = read_state(archive.memory, "pin")
    assert second
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert counts(archive)["quarantine", DATE] == 5, "what the other one took is looked at anew"
    assert_sound(archive, before)


def compact(archive: SmallArchive) -> object:
    return Compactor(archive.memory, "pin", limits=CompactLimits(), **rewriter_options("h:2:compact")).run(DATE)


def test_commits_go_on_beside_it() -> None:
    """An archiver's commits take slots at each step; the rewrite goes into the next one, and all stands once."""
    archive = archive_of(3)
    number = itertools.count(4)

    def commit(_name: str) -> None:
        archive.commit(batch(next(number)))

    retry(archive.memory, failpoint=commit)
    assert next(number) - 4 == len(RETRY_FAILPOINTS)
    after = everything(archive)
    assert len(after) == 8 * (4 + len(RETRY_FAILPOINTS))
    assert counts(archive)["quarantine", DATE] == 4 + len(RETRY_FAILPOINTS)
    assert_sound(archive, after)


def seal(archive: SmallArchive, date: str) -> None:
    state = archive.log.refresh()
    ends = {str(at.identity.partition): at.next for at in state.partitions()}
    details = {"dt": date, "ends": ends}
    archive.append(replace(entry_of("seal"), topic_id=state.topic_id, details=details, entry_id=archive.new_id()))


def entry_of(kind: str) -> Entry:
    return Entry(kind, "pin", "cluster-1", "e", "w", "2026-11-24T00:00:00.000000Z")  # type: ignore[arg-type]


@pytest.mark.parametrize("point", ["", "retry-built", "retry-intent", "retry-before-rewrite"])
def test_rows_of_a_sealed_date_are_late(point: str) -> None:
    """Whoever read the date at its seal did not see them; also where the seal comes while the retry is under way."""
    archive = archive_of(3)
    before = everything(archive)
    if not point:
        seal(archive, DATE)

    def interfere(name: str) -> None:
        if name == point and not read_state(archive.memory, "pin").sealed:
            seal(archive, DATE)

    retry(archive.memory, failpoint=interfere)
    state = read_state(archive.memory, "pin")
    assert state.dates == {DATE: (20, 9), NEXT_DATE: (8, 0)}
    assert counts(archive)["quarantine", DATE] == 4
    assert_sound(archive, before)
    compact(archive)
    assert read_state(archive.memory, "pin").dates == state.dates
    assert_sound(archive, before)


def test_a_schema_that_did_not_fit_beside_another_is_decoded_by_itself() -> None:
    """Two schemas give one column two types: each gets files of its own, in one run."""
    archive = SmallArchive(schemas=NoSchemas())
    text = json.loads(builtin().text_by_fingerprint(pin_value(1)[2:10]) or "")
    other = {**text, "fields": [f for f in text["fields"] if f["name"] != "user_id"]}
    other["fields"].insert(0, {"name": "user_id", "type": "boolean"})
    print_of = fingerprint(other)
    body = b"\xc3\x01" + print_of + b"\x01" + _without_user_id(pin_value(1), text)
    archive.commit([Rec(0, 0, pin_value(1)), Rec(0, 1, body)])

    class Both(NoSchemas):
        def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
            found = builtin().text_by_fingerprint(fingerprint)
            return json.dumps(other) if fingerprint == print_of else found

    before = everything(archive)
    done = retry(archive.memory, schemas=Both())
    assert (done.decoded, done.left, len(done.rewrites)) == (2, 0, 2)
    assert_sound(archive, before)


def _without_user_id(value: bytes, schema: dict[str, object]) -> bytes:
    parsed = fastavro.parse_schema(schema)
    event = fastavro.schemaless_reader(io.BytesIO(value[10:]), parsed)
    fields = [f for f in schema["fields"] if f["name"] != "user_id"]  # type: ignore[attr-defined]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema({**schema, "fields": fields}), event)
    return out.getvalue()


def test_a_damaged_file_stops_it_before_anything_is_written() -> None:
    """A flipped byte in a quarantine file: the error names it, and neither log nor objects change."""
    archive = archive_of(2)
    key = next(key for key in archive.memory.objects if key.startswith("quarantine/"))
    body = bytearray(archive.memory.objects[key])
    body[len(body) // 2] ^= 1
    archive.memory.objects[key] = bytes(body)
    objects = dict(archive.memory.objects)
    with pytest.raises(FileCorrupt, match=key):
        retry(archive.memory)
    assert archive.memory.objects == objects


# -- what the log refuses ----------------------------------------------------------------------------------------------


def last_rewrite(archive: SmallArchive) -> tuple[LogState, Entry]:
    """The state just before a retry's rewrite, and that rewrite."""
    (seq,) = retry(archive.memory).rewrites
    return read_state(archive.memory, "pin", at=seq - 1), decode(archive.memory.get(log_key("pin", seq)), "the rewrite")


def changed(entry: Entry, at: int, **values: object) -> Entry:
    files = list(entry.files)
    files[at] = replace(files[at], **values)  # type: ignore[arg-type]
    return replace(entry, files=tuple(files))


def fewer(entry: Entry, at: int) -> Entry:
    """One row less in a file's last part."""
    file = entry.files[at]
    parts = (*file.parts[:-1], replace(file.parts[-1], rows=file.parts[-1].rows - 1))
    return changed(entry, at, rows=file.rows - 1, parts=parts)


def removing(state: LogState, entry: Entry, kind: str) -> Entry:
    key = next(each.file.key for each in state.files.values() if each.file.kind == kind)
    return replace(entry, details={**entry.details, "removes": [*entry.details["removes"], key]})


def index_of(entry: Entry, kind: str) -> int:
    return next(at for at, file in enumerate(entry.files) if file.kind == kind)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _s, e: replace(e, details={**e.details, "decodes": False}), "other rows"),
        (lambda _s, e: fewer(e, index_of(e, "data")), "other rows"),
        (lambda _s, e: fewer(e, index_of(e, "quarantine")), "other rows"),
        (lambda s, e: removing(s, e, "data"), "not in quarantine"),
        (lambda _s, e: changed(e, index_of(e, "quarantine"), dt=NEXT_DATE), "adds rows to quarantine"),
        (lambda _s, e: changed(e, index_of(e, "data"), late=1), "late"),
        (lambda _s, e: replace(e, details={**e.details, "removes": e.details["removes"][1:]}), "other rows"),
    ],
)
def test_a_retry_that_is_none_is_refused(change: Callable[[LogState, Entry], Entry], told: str) -> None:
    """A row less, a data file that goes, quarantine that grows, false late rows, no say so: each breaks the log."""
    state, entry = last_rewrite(archive_of(3))
    broken = change(state, entry)
    with pytest.raises(LogViolation, match=told):
        state.apply(broken, "0" * 64, "the entry")
    state.apply(entry, "0" * 64, "the entry")


def test_a_lean_state_counts_dates_alike() -> None:
    """A worker that has no files at hand knows as many rows a date as a reader."""
    archive = archive_of(3)
    state, entry = last_rewrite(archive)
    lean = LogState("pin", lean=True)
    lean.__dict__.update(
        {**state.__dict__, "lean": True, "dates": dict(state.dates), "files": _nowhere()},
    )
    lean.apply(entry, "0" * 64, "the entry")
    assert lean.dates == read_state(archive.memory, "pin").dates


def _nowhere() -> object:
    def older() -> object:
        raise AssertionError("a worker never asks for files")

    return FileTable(older)  # type: ignore[arg-type]
