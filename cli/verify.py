"""`headrace verify`: check a topic's archive from end to end, or a replay's target against its receipt."""

import json
import re
import time
from pathlib import Path

import click

from headrace.replay.errors import RequestRefused
from headrace.replay.findings import VerifyReport, gap_text
from headrace.replay.kafka_target import Clock
from headrace.replay.receipts import decode_receipt, read_receipt
from headrace.replay.verify import verify_archive
from headrace.replay.verify_kafka import compare_with_kafka
from headrace.replay.verify_receipt import verify_receipt

from . import verify_audit
from .configuration import setting_option
from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .options import EXIT_WRONG, archive_option
from .progress import RecordProgress
from .servers import open_store, reported_errors

LEFTOVERS_SHOWN = 5
REMOVED_SHOWN = 20


@click.command(name="verify")
@click.argument("topic", required=False)
@archive_option
@click.option(
    "--head",
    metavar="SEQ:SHA256",
    help="A head that `headrace log` showed earlier: prove that the log up to it was not changed since.",
)
@click.option(
    "--against-kafka", is_flag=True, help="Compare with Kafka too, record by record, where it still has them."
)
@setting_option("kafka.servers")
@kafka_config_option
@click.option(
    "--receipt",
    metavar="FILE|ID",
    help="Read the target of a replay back and compare it with its receipt, in a file or in the archive.",
)
@click.option("--target-kafka", metavar="HOST:PORT[,...]", help="--receipt: the target's cluster, if not --kafka.")
@setting_option("archive.group")
@click.option(
    "--audit", is_flag=True, help="Reconcile with the audit events instead: name what was emitted and never arrived."
)
@click.option(
    "--spool",
    "spools",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="With --audit: look for what is missing in a spool of this host too. Repeat for several.",
)
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def command(
    topic: str | None,
    archive_url: str,
    head: str | None,
    against_kafka: bool,
    kafka: str | None,
    kafka_config: GivenSettings,
    receipt: str | None,
    target_kafka: str | None,
    group: str,
    audit: bool,
    spools: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Check a topic's log, objects, digests and gaps; exit 1 and name each thing that is wrong.

    Checked are: the chain and the rules of the commit log; that each object exists with its size and SHA-256; that the
    records restored from it have the digests in the log; that no offset is there twice or missing without a recorded
    gap. Objects that no commit names (left by a crash before its commit) are counted, and are not wrong.

    With --audit it checks something else: that each event that was emitted is archived, or who dropped it and why, by
    the sessions' own accounts in headrace.audit. With --kafka it knows better what is not archived yet. Exit 1 names
    each hole by session and number.

    \b
    headrace verify pin
    headrace verify pin --audit
    headrace verify pin --against-kafka
    headrace verify pin --json | jq .findings
    headrace verify --receipt 0d1f9f6e1c1e4f43a5cf2b1e
    """
    with reported_errors():
        if (topic is None) == (receipt is None):
            raise RequestRefused("name a topic, or a replay by --receipt: one of the two")
        if receipt is not None or topic is None:
            _verify_receipt(archive_url, receipt or "", target_kafka or kafka, kafka_config, as_json=as_json)
            return
        noted = _head(head)
        if against_kafka and kafka is None:
            raise RequestRefused("--against-kafka needs --kafka, or HEADRACE_KAFKA in the environment")
        store = open_store(archive_url)
        if audit:
            if head or against_kafka:
                raise RequestRefused("--audit is a check of its own: leave out --head and --against-kafka")
            settings = reading_settings(kafka, kafka_config) if kafka else None
            verify_audit.run(store, topic, kafka=settings, spools=spools, as_json=as_json)
            return
        if spools:
            raise RequestRefused("--spool is for --audit: without it nothing of a spool is looked at")
        with RecordProgress(f"verify {topic}") as progress:
            report, state = verify_archive(
                store, topic, head=noted, on_progress=lambda done, total: progress.update(done.rows, total)
            )
        # What is damaged cannot be read, so that a comparison would only repeat the first finding.
        if against_kafka and kafka is not None and report.ok:
            clock = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
            with RecordProgress(f"compare {topic}", report.rows) as progress:
                compare_with_kafka(
                    store,
                    state,
                    reading_settings(kafka, kafka_config),
                    group=group,
                    clock=clock,
                    report=report,
                    on_progress=progress.update,
                )
        if as_json:
            click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        else:
            _show(report)
        if not report.ok:
            raise SystemExit(EXIT_WRONG)


def _verify_receipt(archive_url: str, name: str, kafka: str | None, config: GivenSettings, *, as_json: bool) -> None:
    path = Path(name)
    in_file = path.is_file()
    receipt = decode_receipt(path.read_bytes(), name) if in_file else read_receipt(open_store(archive_url), name)
    clock = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
    settings = None if kafka is None else reading_settings(kafka, config)
    with RecordProgress(f"verify replay {receipt['id']}", receipt["records"]) as progress:
        report = verify_receipt(receipt, kafka=settings, clock=clock, on_progress=progress.update)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        for finding in report.findings:
            click.echo(f"WRONG {finding.where}\n  what: {finding.what}\n  next: {finding.next}")
        exact = "exact" if receipt["exact"] else f"not exact: {'; '.join(receipt['reasons'])}"
        outcome = "as its receipt says" if report.ok else f"{len(report.findings)} things are wrong"
        click.echo(
            f"replay {report.receipt} ({exact}): {outcome}; {report.records:,} records in {report.targets} targets read"
        )
    if not report.ok:
        raise SystemExit(EXIT_WRONG)


def _head(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
    if match is None:
        raise RequestRefused(f"--head {text}: expected SEQ:SHA256, as the last line of `headrace log` shows it")
    return int(match[1]), match[2]


def _show(report: VerifyReport) -> None:
    for identity, gap in report.gaps:
        click.echo(gap_text(report.topic, identity, gap))
    for each in report.removed[:REMOVED_SHOWN]:
        click.echo(each.text(report.topic))
    if len(report.removed) > REMOVED_SHOWN:
        click.echo(f"and {len(report.removed) - REMOVED_SHOWN} more that --json names")
    if report.unreferenced:
        size = sum(info.size for info in report.unreferenced)
        count = len(report.unreferenced)
        click.echo(f"{count} objects, {size:,} bytes, are named by no commit (an archiver removes what is dead):")
        for info in report.unreferenced[:LEFTOVERS_SHOWN]:
            click.echo(f"  {report.url}/{info.key}")
    for finding in report.findings:
        click.echo(f"WRONG {finding.where}\n  what: {finding.what}\n  next: {finding.next}")
    checked = (
        f"{report.entries:,} commits, {report.files:,} files, {report.parts:,} parts, {report.rows:,} records, "
        f"{report.bytes:,} bytes checked"
    )
    if report.kafka is not None:
        checked += f", {report.kafka.records:,} compared with Kafka and equal"
    if report.ok:
        removed = _removed_text(report)
        click.echo(f"{report.topic}: fine. {checked}; {len(report.gaps)} gaps{removed}; head {report.snapshot}")
    else:
        click.echo(f"{report.topic}: {len(report.findings)} things are wrong. {checked}; head {report.snapshot}")


def _removed_text(report: VerifyReport) -> str:
    counts = {what: sum(each.rows for each in report.removed if each.what == what) for what in ("erased", "expired")}
    return "".join(f"; {rows:,} records {what}" for what, rows in counts.items() if rows)
