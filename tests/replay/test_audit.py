"""What becomes of each number of a session, given its rows, its account, and a spool."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.replay.audit import reconcile
from headrace.replay.audit_accounts import Account, Report, read_accounts
from headrace.replay.audit_numbers import ArchivedNumbers, SessionRows
from headrace.replay.audit_report import AuditReport, SessionAudit, text_of
from headrace.replay.intervals import NOTHING, Intervals

SESSION = b"s" * 16
OTHER = b"o" * 16


def some(*ranges: tuple[int, int]) -> Intervals:
    """Numbers from and to, both included."""
    return Intervals.of((first, last + 1) for first, last in ranges)


def report(last: int, **more: Any) -> Report:
    fields: dict[str, Any] = {
        "at_ms": 1000, "seq": 1, "own": True, "closed": True, "durability": "disk", "service": "web", "host": "h",
        "last_seq": last, "waiting": 0, "dropped": {}, "elsewhere": {}, **more,
    }  # fmt: skip
    return Report(**fields)


def account(*reports: Report, settled: bool = True, **listed: Intervals) -> Account:
    by_reporter = {bytes([index]) * 16: each for index, each in enumerate(reports)}
    named = {(bytes(16), reason): len(numbers) for reason, numbers in listed.items()}
    return Account(dict(by_reporter), dict(by_reporter) if settled else {}, listed, named)


def audited(archived: Intervals, said: Account | None, spooled: Intervals = NOTHING) -> SessionAudit:
    return reconcile(SESSION, SessionRows(archived), said, spooled)


def test_all_is_well() -> None:
    """Every number archived and told of: nothing else is said."""
    found = audited(some((1, 9)), account(report(9)))
    assert (found.emitted, found.archived, found.state, found.plain) == (9, 9, "closed", True)


def test_listed_losses_are_not_holes() -> None:
    """Numbers with a reason stand under it; what nobody lists is unexplained."""
    found = audited(some((1, 3), (8, 8)), account(report(10, dropped={"full": 2}), full=some((4, 5))))
    assert found.dropped == {"full": some((4, 5))}
    assert found.unexplained == some((6, 7), (9, 10))


def test_an_archived_number_is_not_lost_whatever_was_said() -> None:
    """What was reported as undelivered and arrived all the same counts as archived."""
    found = audited(some((1, 4)), account(report(4, dropped={"undelivered": 2}), undelivered=some((3, 4))))
    assert (found.dropped, found.uncertain, len(found.unexplained)) == ({}, {}, 0)


def test_who_saw_it_knows_better() -> None:
    """A number that its session says it refused, and an adopter took for damaged, was refused."""
    found = audited(some((1, 3)), account(report(6), shed=some((4, 5)), damaged=some((4, 6))))
    assert found.dropped == {"shed": some((4, 5)), "damaged": some((6, 6))}


def test_counts_without_numbers_explain_by_count() -> None:
    """Losses that no list names explain as many numbers, and it is said that they may be others."""
    said = account(report(10, dropped={"full": 3}, elsewhere={"damaged": 1, "invalid": 9}), full=some((9, 10)))
    found = audited(some((1, 4)), said)
    assert found.dropped == {"full": some((6, 6), (9, 10)), "damaged": some((5, 5))}
    assert found.uncertain == {"full": some((6, 6)), "damaged": some((5, 5))}
    assert found.unexplained == some((7, 8))


def test_a_torn_end_explains_what_comes_after() -> None:
    """Where an adopter found only the damaged end of a spool, later numbers were in it."""
    adopter = report(7, own=False, elsewhere={"torn": 1})
    found = audited(some((1, 7)), account(report(9, closed=False), adopter))
    assert found.uncertain == {"torn": some((8, 9))}
    assert found.unexplained == NOTHING


def test_what_waits_is_the_newest() -> None:
    """Of what is missing the highest numbers may be those that waited; lower ones are not excused by them."""
    found = audited(some((1, 3), (5, 7)), account(report(10, waiting=3, closed=False)))
    assert (found.state, found.waiting, found.unexplained) == ("open", some((8, 10)), some((4, 4)))


def test_nothing_waits_once_the_spool_was_adopted() -> None:
    """What the session said was waiting is no excuse after an adopter delivered everything."""
    found = audited(some((1, 7)), account(report(10, waiting=3, closed=False), report(10, own=False)))
    assert (found.state, found.unexplained) == ("closed", some((8, 10)))


def test_an_account_newer_than_the_archive() -> None:
    """Numbers that only a report beyond the archive's reach tells of are not yet there; older ones are holes."""
    said = account(report(10, seq=2))
    said.settled = {b"\0" * 16: report(6, seq=1, closed=False)}
    found = audited(some((1, 4), (6, 6)), said)
    assert (found.not_yet, found.unexplained) == (some((7, 10)), some((5, 5)))
    assert audited(some((1, 4)), account(report(6), settled=False)).not_yet == some((5, 6))


def test_rows_beyond_the_account_are_no_hole_yet() -> None:
    """A running session's rows may be newer than its account: holes among them may be told of with the next."""
    found = audited(some((1, 6), (9, 9)), account(report(5, closed=False)))
    assert (found.emitted, found.not_yet, found.unexplained) == (9, some((7, 8)), NOTHING)


def test_no_account() -> None:
    """Without an account holes are holes, whatever lies in a spool is spooled, and what came last is not known."""
    found = audited(some((2, 4), (6, 6)), None, some((5, 5), (7, 8)))
    assert (found.state, found.emitted) == ("no account", 8)
    assert (found.spooled, found.unexplained) == (some((5, 5), (7, 8)), some((1, 1)))


FOUND = st.tuples(st.sets(st.integers(1, 30)), st.sets(st.integers(1, 30)), st.sets(st.integers(1, 30)))
SAID = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5), st.integers(0, 5))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FOUND, SAID)
def test_each_number_ends_in_one_place(
    found_sets: tuple[set[int], set[int], set[int]], said_counts: tuple[int, int, int, int]
) -> None:
    """emitted = archived + dropped + spooled + waiting + not yet + unexplained, whatever was said, and disjoint."""
    archived, full, spooled = found_sets
    last, settled, waiting, damaged = said_counts
    sets = [Intervals.of_sorted(np.array(sorted(each), np.int64)) for each in (archived, full, spooled)]
    said = account(report(last, dropped={"full": len(full) + 1}, elsewhere={"damaged": damaged}), full=sets[1])
    said.settled = {b"\0" * 16: report(min(settled, last), waiting=waiting, closed=False)}
    found = reconcile(SESSION, SessionRows(sets[0]), said, sets[2])
    parts = [sets[0], *found.dropped.values(), found.spooled, found.waiting, found.not_yet, found.unexplained]
    everything = NOTHING
    for part in parts:
        assert len(everything & part) == 0
        everything |= part
    assert everything == some((1, found.emitted))


# -- from tables -------------------------------------------------------------------------------------------------------


def rows(*numbers: tuple[bytes | None, int | None, int]) -> pa.Table:
    """Rows of (session, seq, event id)."""
    return pa.table(
        {
            "session_id": pa.array([each[0] for each in numbers], pa.binary(16)),
            "seq": pa.array([each[1] for each in numbers], pa.int64()),
            "event_id": pa.array([each[2].to_bytes(16, "big") for each in numbers], pa.binary(16)),
        }
    )


def test_rows_become_ranges() -> None:
    """Sessions are told apart, order does not matter, rows without number are counted, repeats too."""
    archived = ArchivedNumbers()
    tables = [
        rows((SESSION, 3, 3), (OTHER, 1, 91), (SESSION, 1, 1), (None, None, 0), (SESSION, 3, 3)),
        rows((SESSION, 2, 2), (SESSION, 1, 1), (SESSION, 7, 7), (OTHER, 2, 92)),
        pa.table({"_value": pa.array([b"x"])}),
    ]
    for table in tables:
        archived.add(table)
    own = archived.sessions[SESSION]
    assert (own.numbers, own.repeats, own.again) == (some((1, 3), (7, 7)), 2, some((1, 1), (3, 3)))
    assert archived.sessions[OTHER].numbers == some((1, 2))
    assert (archived.rows, archived.foreign, archived.repeats) == (10, 2, 2)
    assert archived.compare_repeats(tables)
    assert archived.clashes == 0


def test_one_number_of_two_events_is_wrong() -> None:
    """The same session and number with another event_id is no repeat but a clash; the report is then not ok."""
    archived, tables = ArchivedNumbers(), [rows((SESSION, 1, 1), (SESSION, 2, 2)), rows((SESSION, 2, 22))]
    for table in tables:
        archived.add(table)
    assert archived.compare_repeats(tables)
    assert archived.clashes == 1
    assert not AuditReport("pin", "s3://b", 1, 1, 0, clashes=1).ok


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.tuples(st.sampled_from([SESSION, OTHER]), st.integers(1, 20)), max_size=15), max_size=6))
def test_any_rows_in_any_files(files: list[list[tuple[bytes, int]]]) -> None:
    """Numbers and repeats are those that plain counting gives, however rows lie in files."""
    archived = ArchivedNumbers()
    for file in files:
        archived.add(rows(*((session, seq, seq) for session, seq in file)))
    for session in (SESSION, OTHER):
        all_of_it = [seq for file in files for name, seq in file if name == session]
        found = archived.sessions.get(session, SessionRows())
        assert found.numbers == Intervals.of_sorted(np.array(sorted(set(all_of_it)), np.int64))
        assert found.repeats == len(all_of_it) - len(set(all_of_it))


def told(seq: int, last: int, at: int, *, reporter: bytes = SESSION, topic: str = "pin", **more: Any) -> dict[str, Any]:
    return {
        "service": "web", "host": "h", "session_id": reporter, "seq": seq, "about_session": SESSION,
        "about_topic": topic, "reporter": "OWN", "closed": False, "durability": "DISK", "last_seq": last, "acked": 0,
        "waiting": 0, "dropped": [], "lost_from": [], "lost_to": [], "lost_reason": [], "dropped_elsewhere": [],
        "_timestamp": at, **more,
    }  # fmt: skip


def accounts_table(*reports: dict[str, Any]) -> pa.Table:
    counts = pa.map_(pa.string(), pa.int64())
    types = {
        "session_id": pa.binary(16), "about_session": pa.binary(16), "dropped": counts, "dropped_elsewhere": counts,
        "lost_from": pa.list_(pa.int64()), "lost_to": pa.list_(pa.int64()), "lost_reason": pa.list_(pa.string()),
    }  # fmt: skip
    return pa.table({name: pa.array([each[name] for each in reports], types.get(name)) for name in reports[0]})


def test_accounts_are_added_up() -> None:
    """The newest report of each reporter counts, lists of all of them do, doubled or not; other topics' do not."""
    first = told(1, 5, 100, lost_from=[2], lost_to=[3], lost_reason=["full"], dropped=[("full", 2)])
    second = told(2, 9, 200, lost_from=[7], lost_to=[7], lost_reason=["full"], dropped=[("full", 3)], waiting=1)
    adopter = told(1, 9, 300, reporter=OTHER, closed=True) | {"reporter": "ADOPTER"}
    tables = [accounts_table(second, first), accounts_table(first, adopter, told(9, 99, 50, topic="login"))]
    (session, found), *others = read_accounts(tables, "pin", 250).items()
    assert (session, others) == (SESSION, [])
    assert (found.last_seq, found.settled_seq, found.at_ms) == (9, 9, 300)
    assert found.listed == {"full": some((2, 3), (7, 7))}
    assert found.own is not None
    assert (found.own.last_seq, found.own.dropped, found.unlisted()) == (9, {"full": 3}, {})
    assert (found.adopted, found.waiting) == (False, 1)
    assert read_accounts(tables, "pin", 300)[SESSION].adopted
    assert read_accounts(tables, "pin", 150)[SESSION].settled_seq == 5


def test_what_is_told_again_by_the_next_counts_once() -> None:
    """Whoever goes on after a SIGKILL may name the same numbers, and count the same losses without a number: that
    explains no more than saying it once, so that it hides no other hole."""
    damaged: dict[str, Any] = {
        "lost_from": [4],
        "lost_to": [5],
        "lost_reason": ["damaged"],
        "dropped": [("damaged", 2)],
    }
    lost: dict[str, Any] = {"reporter": "ADOPTER", "closed": True, "dropped_elsewhere": [("unreadable", 1)]}
    first, second = (told(1, 12, 100, reporter=bytes([each]) * 16) | damaged | lost for each in (1, 2))
    said = read_accounts([accounts_table(first), accounts_table(second)], "pin", 1000)[SESSION]
    assert said.unlisted() == {"unreadable": 1}
    found = audited(some((1, 3), (7, 11)), said)
    assert found.dropped == {"damaged": some((4, 5)), "unreadable": some((6, 6))}
    assert found.unexplained == some((12, 12))


def test_who_delivers_for_a_living_session_knows_what_waits() -> None:
    """The session says that nothing is delivered, for it does not know; whoever reads its folder does: only what that
    one has not read or not delivered waits, and what is missing below is a hole."""
    own, reader = report(10, waiting=10, closed=False), report(8, own=False, closed=False, waiting=1)
    found = audited(some((1, 3), (5, 7)), account(own, reader))
    assert (found.state, found.waiting, found.unexplained) == ("open", some((8, 10)), some((4, 4)))
    assert audited(some((1, 3), (5, 7)), account(reader)).waiting == some((8, 8))


def test_the_report_in_json() -> None:
    """Ranges are [first, last]; totals are over all sessions; an infinite reach is null."""
    found = AuditReport("pin", "s3://b", 3, 4, float("inf"), rows=8)
    found.sessions = [
        audited(some((1, 3)), account(report(5, dropped={"full": 1}), full=some((4, 4)))),
        audited(some((1, 5)), None),
    ]
    value = json.loads(json.dumps(found.as_json()))
    assert not found.ok
    assert value["reach_ms"] is None
    assert value["totals"] == {
        "emitted": 10, "archived": 8, "spooled": 0, "waiting": 0, "not_yet": 0, "unexplained": 1,
        "dropped": {"full": 1},
    }  # fmt: skip
    assert value["sessions"][0]["unexplained"] == [[5, 5]]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [(some((3, 3), (7, 9)), "3, 7-9"), (some(*((n, n) for n in range(1, 30, 2))), "1, 3, 5, and 12 ranges more")],
)
def test_ranges_for_people(numbers: Intervals, text: str) -> None:
    """Single numbers stand alone, and what is left out is said."""
    assert text_of(numbers, 3) == text
