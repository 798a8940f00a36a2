"""What an entry must satisfy beyond its place in the log: the counts of its files, and the rules of seals and rewrites.

docs/archive-format.md, "Commit log". Pure; log_state.py calls these before it takes an entry in.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .file_columns import CommittedFile
from .log_entries import Entry, FileEntry
from .log_removals import counted, dates_of, erased_parts, stated_dates, stated_rows

if TYPE_CHECKING:
    from .log_state import LogState


class LogViolation(Exception):
    """An entry breaks an invariant of the log. `invariant` is its name in docs/guarantees.md, for instance "I2"."""

    def __init__(self, invariant: str, where: str, what: str) -> None:
        super().__init__(f"{where}: {what} (breaks {invariant})")
        self.invariant = invariant


def keys_in(entry: Entry, name: str) -> list[str]:
    """Return a list of keys from an entry's details."""
    keys = entry.details.get(name, [])
    return [str(key) for key in keys] if isinstance(keys, list) else []


def check_parts(entry: Entry, where: str) -> None:
    """Hold a commit's files against its spans: each row belongs to a span, and the counts agree (I4)."""
    spans = {span.partition: span for span in entry.spans}
    counts: dict[tuple[str, int], int] = {}
    for file in entry.files:
        _check_sum(file, where)
        for part in file.parts:
            span = spans.get(part.partition)
            if span is None or part.first < span.start or part.last >= span.end or part.first > part.last:
                message = f"{file.key}: offsets {part.first}..{part.last} of partition {part.partition} lie in no span"
                raise LogViolation("I4", where, message)
            counts[file.kind, part.partition] = counts.get((file.kind, part.partition), 0) + part.rows
    for span in entry.spans:
        data, quarantined = counts.get(("data", span.partition), 0), counts.get(("quarantine", span.partition), 0)
        if spans[span.partition] is span and (data, quarantined) != (span.rows, span.quarantined):
            message = f"partition {span.partition}: files hold {data}+{quarantined} rows, the span says "
            raise LogViolation("I4", where, message + f"{span.rows}+{span.quarantined}")


def _check_sum(file: FileEntry, where: str) -> None:
    if sum(part.rows for part in file.parts) != file.rows:
        message = f"{file.key}: its parts hold another number of rows than the {file.rows} stated"
        raise LogViolation("I4", where, message)


# -- seals -------------------------------------------------------------------------------------------------------------


def check_late(state: "LogState", entry: Entry, where: str) -> None:
    """All rows that a commit adds to a date that was sealed or expired are late, and no others (I11)."""
    for file in entry.files:
        if file.kind != "data":
            continue
        closed = state.closed_by(file.dt)
        if closed is None and file.late:
            raise LogViolation("I11", where, f"{file.key}: {file.late} rows are late, and {file.dt} is not sealed")
        if closed is not None and file.late != file.rows:
            message = f"{file.key}: {file.late} of {file.rows} rows are late, and entry {closed} closed {file.dt}"
            raise LogViolation("I11", where, message)


def check_seal(state: "LogState", entry: Entry, where: str) -> None:
    """A date is sealed once, when each partition is archived up to the date's end."""
    date, ends = entry.details.get("dt"), entry.details.get("ends")
    if not isinstance(date, str) or not _is_date(date):
        raise LogViolation("I11", where, f"seals {date!r}, which is no date")
    if not isinstance(ends, dict) or not all(str(p).isdecimal() and _is_offset(end) for p, end in ends.items()):
        raise LogViolation("I11", where, f"seals {date} without the partitions' ends")
    if date in state.sealed:
        raise LogViolation("I11", where, f"seals {date} a second time")
    if date in state.expired:
        raise LogViolation("I11", where, f"seals {date}, which entry {state.expired[date]} let expire")
    if entry.topic_id != state.topic_id:
        raise LogViolation("I10", where, f"is of topic id {entry.topic_id}, while the log is at {state.topic_id}")
    left = {int(partition): int(end) for partition, end in ends.items()}
    for at in state.partitions():
        end = left.pop(at.identity.partition, None)
        if end is None or at.next < end:
            asked = "has no end in it" if end is None else f"is archived to {at.next} only, and its end is {end}"
            raise LogViolation("I11", where, f"seals {date}, but partition {at.identity.partition} {asked}")
    if left:
        raise LogViolation("I11", where, f"seals {date}, but partition {min(left)} is not archived at all")


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# -- rewrites ----------------------------------------------------------------------------------------------------------


def check_intent(state: "LogState", entry: Entry, where: str) -> None:
    """An intent names the keys that its rewrite may add; none of them is known yet."""
    adds = keys_in(entry, "adds")
    if not adds or entry.entry_id in state.intents:
        raise LogViolation("I8", where, "is an intent without keys, or one that is open already")
    for key in adds:
        if state.files.here(key) or key in state.files.removed or any(key in o.adds for o in state.intents.values()):
            raise LogViolation("I3", where, f"intends to add {key}, which is known already")


def check_expire(state: "LogState", entry: Entry, where: str) -> None:
    """What is taken out is there, and the entry says how many rows of which identities and dates it is."""
    if entry.files or entry.spans:
        raise LogViolation("I3", where, "is an expiry that adds something")
    removes = _removes(state, entry, where)
    try:
        rows, dates = stated_rows(entry), stated_dates(entry)
    except ValueError as error:
        raise LogViolation("I4", where, str(error)) from error
    if removes is None:
        return
    if sorted(rows) != sorted(counted(removes)) or dates != dates_of(removes):
        raise LogViolation("I4", where, "the rows that it says expire are not those of the files that it removes")


def _removes(state: "LogState", entry: Entry, where: str) -> list[CommittedFile] | None:
    """Return the files that an entry takes out, None where they are not at hand and the entry is believed."""
    removes = keys_in(entry, "removes")
    if len(set(removes)) != len(removes):
        raise LogViolation("I3", where, "removes a file twice")
    if state.lean and not state.files.at_hand:
        return None  # whoever wrote it had the files, and so has verify
    for key in removes:
        if key not in state.files:
            raise LogViolation("I3", where, f"removes {key}, which no entry before it added, or a later one removed")
    return [state.files[key] for key in removes]


def decodes(entry: Entry) -> bool:
    """Whether a rewrite makes data rows of quarantined ones: then it removes quarantine files only."""
    return entry.kind == "rewrite" and entry.details.get("decodes") is True


def check_rewrite(state: "LogState", entry: Entry, where: str) -> None:
    """A rewrite ends an open intent. It adds no key but the intent's, and the very rows that it removes, or nothing.

    Rows keep their kind and date, unless the entry says that it decodes: then quarantined rows may become data rows.
    """
    _check_adds(state, entry, where)
    if decodes(entry):
        check_late(state, entry, where)
    removed = _removes(state, entry, where)
    if removed is None:
        return
    added = _added(entry)
    if decodes(entry):
        _check_decoded(removed, added, where)
    else:
        _compare(_totals(removed), _totals(added), where)


def _check_adds(state: "LogState", entry: Entry, where: str) -> None:
    """An entry that replaces files ends an open intent, and adds only what that names."""
    intent = state.intents.get(str(entry.details.get("intent")))
    if intent is None:
        raise LogViolation("I8", where, f"its intent {entry.details.get('intent')!r} is not open (any more)")
    for file in entry.files:
        if file.key not in intent.adds:
            raise LogViolation("I8", where, f"adds {file.key}, which its intent does not name")
        _check_sum(file, where)


def _added(entry: Entry) -> list[CommittedFile]:
    lineages = {int(partition): int(of) for partition, of in dict(entry.details.get("lineages", {})).items()}
    return [CommittedFile(file, entry.seq, entry.topic_id, lineages) for file in entry.files]


def check_erase(state: "LogState", entry: Entry, where: str) -> None:
    """An erasure removes files and adds those without the rows that it names: nothing else may be missing (I4).

    Where no row is left there is nothing to add, and then there is no intent either.
    """
    if entry.files or entry.details.get("intent"):
        _check_adds(state, entry, where)
    try:
        parts = erased_parts(entry)
    except ValueError as error:
        raise LogViolation("I4", where, str(error)) from error
    if not parts or entry.spans:
        raise LogViolation("I4", where, "is an erasure of nothing, or has spans")
    removed = _removes(state, entry, where)
    if removed is None:
        return
    before, after = _totals(removed), _totals(_added(entry))
    for part in parts:
        place: tuple[str, ...] = (part.kind, part.dt, entry.topic_id, str(part.partition), str(part.lineage))
        old = before.get(place, _Total())
        if part.offsets[0][0] < old.first or part.offsets[-1][1] - 1 > old.last:
            raise LogViolation("I4", where, f"erases offsets of {place} that the files it removes do not reach to")
        after.setdefault(place, _Total()).rows += part.rows
        after.setdefault(("late", part.kind, part.dt), _Total()).rows += part.late
    for place in before.keys() | after.keys():
        old, new = before.get(place, _Total()), after.get(place, _Total())
        if old.rows != new.rows or (new.last >= 0 and not old.first <= new.first <= new.last <= old.last):
            raise LogViolation("I4", where, f"of {place} it removes {old}, and keeps and erases {new}")


def _check_decoded(removed: list[CommittedFile], added: list[CommittedFile], where: str) -> None:
    """Each row that goes comes again, as data or in quarantine; none is data that goes, and no quarantine grows."""
    for committed in removed:
        if committed.file.kind != "quarantine":
            raise LogViolation("I4", where, f"removes {committed.file.key}, which is not in quarantine")
    _compare(_totals(removed, by_place=False), _totals(added, by_place=False), where)
    before = _totals(removed)
    for of, total in _totals(each for each in added if each.file.kind == "quarantine").items():
        if total.rows > before.get(of, _Total()).rows:
            raise LogViolation("I4", where, f"adds rows to quarantine: {of}")


def _compare(old: "Totals", new: "Totals", where: str) -> None:
    if old != new:
        differing = min(of for of in old.keys() | new.keys() if old.get(of) != new.get(of))
        message = f"the files that it adds hold other rows than those it removes: {differing}: {old.get(differing)} "
        raise LogViolation("I4", where, f"{message}removed, {new.get(differing)} added")


@dataclass(slots=True)
class _Total:
    """Rows, first and last offset of one identity in one date's files of one kind."""

    rows: int = 0
    first: int = 1 << 63
    last: int = -1


Totals: TypeAlias = dict[tuple[str, ...], _Total]


def _totals(files: Iterable[CommittedFile], *, by_place: bool = True) -> Totals:
    """Add up files by kind, date and identity, and late rows by kind and date; or by identity alone."""
    totals: Totals = defaultdict(_Total)
    for committed in files:
        file = committed.file
        if by_place:
            totals["late", file.kind, file.dt].rows += file.late
        for part in file.parts:
            lineage = committed.lineages.get(part.partition)
            place = (file.kind, file.dt) if by_place else ()
            total = totals[*place, committed.topic_id, str(part.partition), str(lineage)]
            total.rows += part.rows
            total.first, total.last = min(total.first, part.first), max(total.last, part.last)
    return dict(totals)
