"""What `headrace verify --audit` does and shows: who emitted what, what became of it, and what nobody explains."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from headrace.archiver.s3 import S3Store
from headrace.producer.spool.inspection import numbers
from headrace.replay.audit import audit_topic
from headrace.replay.audit_kafka import reach_by_kafka
from headrace.replay.audit_report import AuditReport, SessionAudit, text_of
from headrace.replay.errors import RequestRefused
from headrace.replay.intervals import Intervals
from headrace.replay.kafka_target import Clock

from .options import EXIT_WRONG
from .progress import RecordProgress

SESSIONS_SHOWN = 50
NEXT = (
    "next: `headrace spool DIR` on the session's host, and again with --spool DIR; `headrace verify {topic}` for "
    "recorded gaps; `headrace lag`. What none of them explains is lost: see docs/producer-audit.md"
)


def run(store: S3Store, topic: str, *, kafka: dict[str, Any] | None, spools: tuple[Path, ...], as_json: bool) -> None:
    """Audit a topic and show it; end the command with 1 when something is not explained."""
    reach = None
    if kafka:
        clock = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
        settings = kafka
        reach = lambda state: reach_by_kafka(settings, clock, state)  # noqa: E731 - one argument, bound here
    with RecordProgress(f"audit {topic}") as progress:
        spooled = _spooled(spools, topic) if spools else None
        report = audit_topic(store, topic, reach=reach, spooled=spooled, on_progress=progress.update)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        for line in lines(report, spool_seen=bool(spools)):
            click.echo(line)
    if not report.ok:
        raise SystemExit(EXIT_WRONG)


def _spooled(spools: tuple[Path, ...], topic: str) -> dict[bytes, Intervals]:
    found: dict[bytes, list[tuple[int, int]]] = {}
    for spool in spools:
        try:
            for session, seq in numbers(spool, topic, time.time_ns() // 1_000_000):
                found.setdefault(session, []).append((seq, seq + 1))
        except OSError as error:
            raise RequestRefused(f"--spool {spool}: {error.strerror or error}") from error
    return {session: Intervals.of(ranges) for session, ranges in found.items()}


def lines(report: AuditReport, *, spool_seen: bool = False) -> Iterator[str]:
    """Yield the report for people."""
    told = [each for each in report.sessions if not each.plain]
    told.sort(key=lambda each: (-len(each.unexplained), each.service, each.host, each.session))
    for each in told[:SESSIONS_SHOWN]:
        yield from _session(each)
    if len(told) > SESSIONS_SHOWN:
        yield f"and {len(told) - SESSIONS_SHOWN} sessions more: --json has all of them"
    without = [each for each in report.sessions if each.state == "no account"]
    if without:
        yield (
            f"{len(without)} sessions have no account: whether they emitted more than is archived is not known. Is "
            f"audit on where they run, and is headrace.audit archived?"
        )
    if report.foreign or report.quarantined:
        yield f"{report.foreign:,} rows have no session and number; {report.quarantined:,} are in quarantine undecoded"
    if report.clashes is None:
        yield f"{report.repeats:,} repeats are too many to compare their event ids"
    elif report.clashes:
        yield f"WRONG {report.clashes:,} rows have the number of another event of their session: report this as a bug"
    yield "emitted = archived + dropped + spooled + waiting + not yet + unexplained"
    dropped = report.dropped()
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items())
    yield (
        f"{report.total('emitted'):,} = {report.total('archived'):,} + {sum(dropped.values()):,} + "
        f"{report.total('spooled'):,} + {report.total('waiting'):,} + {report.total('not_yet'):,} + "
        f"{report.total('unexplained'):,}" + (f"   (dropped: {reasons})" if reasons else "")
    )
    if report.total("not_yet"):
        reach = "nothing for sure" if report.reach_ms < 0 else f"what was delivered up to {_time(report.reach_ms)}"
        yield f"not yet: the archive has {reach}; what was told of later may still come (--kafka tells more exactly)"
    if report.total("waiting") and not spool_seen:
        yield "waiting: in a queue when last told of; --spool DIR looks into a spool of this host"
    sessions, repeats = len(report.sessions), report.repeats
    summary = f"{sessions:,} sessions, {report.rows:,} rows, {repeats:,} of them came again with the same event_id"
    if report.ok:
        yield f"{report.topic}: every number is accounted for. {summary}"
    else:
        holes = sum(bool(len(each.unexplained)) for each in report.sessions)
        lost = report.total("unexplained")
        yield f"{report.topic}: {lost:,} numbers of {holes:,} sessions are unexplained. {summary}"
        yield NEXT.format(topic=report.topic)


def _session(each: SessionAudit) -> Iterator[str]:
    whose = f" of {each.service} on {each.host}" if each.service else ""
    as_of = "" if each.as_of_ms is None else f", told of at {_time(each.as_of_ms)}"
    again = f", {each.repeats:,} came again" if each.repeats else ""
    yield f"session {each.session.hex()}{whose}: {each.state}{as_of}"
    yield f"  emitted {each.emitted:,}, archived {each.archived:,}{again}"
    for reason, numbers_ in sorted(each.dropped.items()):
        uncertain = each.uncertain.get(reason)
        exactly = "" if uncertain is None else f" ({len(uncertain):,} of them by count: the numbers may be others)"
        yield f"  dropped, {reason}: {len(numbers_):,}: {text_of(numbers_)}{exactly}"
    for name, found in (("spooled", each.spooled), ("waiting", each.waiting), ("not yet", each.not_yet)):
        if len(found):
            yield f"  {name}: {len(found):,}: {text_of(found)}"
    if len(each.unexplained):
        yield f"  HOLE, unexplained: {len(each.unexplained):,}: {text_of(each.unexplained, ranges_max=100)}"


def _time(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
