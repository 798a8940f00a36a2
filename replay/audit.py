"""Reconciles an archived topic with what its producers said: emitted = archived + dropped + still on the way.

Each number of each session ends in exactly one place. What no account explains is a hole, and is named. Nothing is
guessed: numbers that an account newer than the archive's reach tells of are `not yet`, sessions without an account are
said to have none.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.archiver.commit_log import read_state
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import ObjectStore
from headrace.schemas.catalog import AUDIT_TOPIC

from .audit_accounts import Account, read_accounts
from .audit_numbers import ArchivedNumbers, SessionRows, data_tables, quarantined_rows
from .audit_report import AuditReport, SessionAudit
from .errors import RequestRefused
from .intervals import NOTHING, Intervals
from .reader import unknown_topic

Spooled = Mapping[bytes, Intervals]
Reach = Callable[[LogState], float]
# Whoever saw a number end says why; what was only concluded from a hole in the spool comes last.
_CONCLUDED = ("refused", "expired", "undelivered", "unreadable", "damaged", "torn", "not_accepted")
_RANKS = {reason: rank for rank, reason in enumerate(_CONCLUDED, start=1)}


def audit_topic(
    store: ObjectStore,
    topic: str,
    *,
    reach: Reach | None = None,
    spooled: Spooled | None = None,
    audit_topic: str = AUDIT_TOPIC,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> AuditReport:
    """Reconcile a topic. `reach(state)` says, in milliseconds, up to when the archive has what was delivered (default:
    what the log tells); `spooled`: numbers that still lie in a spool, by session; `on_progress(rows, all_rows)`.

    Raises RequestRefused for a topic that cannot be audited, TopicUnknown, ArchiveDamaged, StoreError.
    """
    if topic == audit_topic:
        raise RequestRefused(f"{topic} holds the accounts of other topics and has none itself: name one of those")
    # In this order: whatever an account tells of was delivered before the topic's own log is read.
    accounts_state, state = read_state(store, audit_topic), read_state(store, topic)
    if state.seq == 0:
        raise unknown_topic(store, topic)
    if accounts_state.seq == 0:
        raise RequestRefused(
            f"the archive at {store.url} has no topic {audit_topic}, so that nothing tells what was emitted: set "
            f"HEADRACE_AUDIT=1 where events are logged, make the topic, and archive it beside {topic}"
        )
    reach_ms = reach_of(state) if reach is None else reach(state)
    archived = ArchivedNumbers(quarantined=quarantined_rows(state))
    all_rows = sum(each.file.rows for each in state.files.values() if each.file.kind == "data")
    for table in data_tables(store, state):
        archived.add(table)
        on_progress(archived.rows, all_rows)
    if archived.rows and archived.foreign == archived.rows:
        raise RequestRefused(f"{topic} is not of headrace's events: its rows have no session_id and seq to go by")
    compared = not archived.repeats or archived.compare_repeats(data_tables(store, state))
    accounts = read_accounts(data_tables(store, accounts_state), topic, reach_ms)
    report = AuditReport(topic, store.url, state.seq, accounts_state.seq, reach_ms)
    report.rows, report.foreign, report.quarantined = archived.rows, archived.foreign, archived.quarantined
    report.repeats, report.clashes = archived.repeats, archived.clashes if compared else None
    waiting = spooled or {}
    for session in sorted(archived.sessions.keys() | accounts.keys() | waiting.keys()):
        rows = archived.sessions.get(session) or SessionRows()
        report.sessions.append(reconcile(session, rows, accounts.get(session), waiting.get(session, NOTHING)))
    return report


def reach_of(state: LogState) -> float:
    """Return up to when the archive surely has all that was delivered, by its log alone (Unix milliseconds).

    A partition's newest record was made at that moment and lies behind all that was delivered before. The partition
    that is furthest behind decides; those without any record have no say.
    """
    return min((each.max_timestamp for each in state.partitions() if each.max_timestamp >= 0), default=-1)


def reconcile(session: bytes, rows: SessionRows, account: Account | None, spooled: Intervals) -> SessionAudit:
    """Say where each number of a session ended."""
    highest = max(rows.numbers.highest, spooled.highest)
    if account is None:
        holes = Intervals.of([(1, highest + 1)]) - rows.numbers
        found = SessionAudit(session, "", "", "no account", None, highest, len(rows.numbers), rows.repeats, {}, {})
        return replace(found, spooled=holes & spooled, unexplained=holes - spooled)
    emitted = max(account.last_seq, highest)
    missing = Intervals.of([(1, emitted + 1)]) - rows.numbers
    dropped: dict[str, Intervals] = {}

    def take(numbers: Intervals) -> Intervals:
        nonlocal missing
        taken = missing & numbers
        missing -= taken
        return taken

    for reason in sorted(account.listed, key=lambda each: (_RANKS.get(each, 0), each)):
        dropped[reason] = take(account.listed[reason])
    in_spool = take(spooled)
    not_yet = take(Intervals.of([(account.settled_seq + 1, emitted + 1)]))
    on_the_way = take(missing.highest_part(account.waiting))
    uncertain: dict[str, Intervals] = {}
    for reason, count in sorted(account.unlisted().items()):
        uncertain[reason] = take(missing.lowest_part(count))
        dropped[reason] = dropped.get(reason, NOTHING) | uncertain[reason]
    if account.torn_after is not None:
        uncertain["torn"] = take(Intervals.of([(account.torn_after + 1, emitted + 1)]))
        dropped["torn"] = dropped.get("torn", NOTHING) | uncertain["torn"]
    own = account.own
    named = own or next(iter(account.newest.values()))
    return SessionAudit(
        session,
        named.service,
        named.host,
        "closed" if account.adopted or (own is not None and own.closed) else "open",
        account.at_ms,
        emitted,
        len(rows.numbers),
        rows.repeats,
        {reason: numbers for reason, numbers in dropped.items() if len(numbers)},
        {reason: numbers for reason, numbers in uncertain.items() if len(numbers)},
        in_spool,
        on_the_way,
        not_yet,
        missing,
    )
