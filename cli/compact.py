"""`headrace compact`: many small files of a date into few, while archivers run."""

import json
from dataclasses import asdict

import click

from headrace.archiver.compaction_plan import CompactLimits, Group
from headrace.archiver.compactor import Compacted, Compactor
from headrace.replay.reader import unknown_topic
from headrace.replay.selection import parse_selection

from .configuration import setting_option
from .options import EXIT_WRONG, archive_option
from .progress import RecordProgress
from .rewriters import rewriting
from .servers import open_store, reported_errors
from .tables import table

COMPACT_VERSION = 1
MIB = 1 << 20


@click.command(name="compact")
@click.argument("topic")
@archive_option
@click.option("--dt", "dates", multiple=True, required=True, metavar="YYYY-MM-DD", help="The date. Repeat for several.")
@click.option("--dry-run", is_flag=True, help="Show which files would become one, and change nothing.")
@setting_option("compact.rows_max")
@setting_option("compact.mib_max")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def command(
    topic: str,
    archive_url: str,
    dates: tuple[str, ...],
    dry_run: bool,
    rows_max: int,
    mib_max: int,
    as_json: bool,
) -> None:
    """Put the rows of many small files of a date into few, and remove the small ones.

    The records stay the same, each checked against its digest before and after, and so does what a replay gives. It may
    run beside archivers, beside itself, and be killed at any moment. Two things to know: a snapshot from before (`files
    --at`, `replay --at`) can't be read any more once its files are gone, and says so; and readers of plain folders may
    see rows twice for the moment between a new file's upload and the removal of the old ones. `headrace files` never
    does.

    \b
    headrace compact pin --dt 2026-11-23 --dry-run
    headrace compact pin --dt 2026-11-23
    """
    with reported_errors():
        compactor = Compactor(
            open_store(archive_url),
            topic,
            **rewriting("compact"),
            limits=CompactLimits(rows_max, mib_max * MIB),
        )
        wanted = parse_selection(dates=dates).dates
        plans = {date: compactor.plan(date) for date in wanted}
        if not compactor.log.state.seq:
            raise unknown_topic(open_store(archive_url), topic)
        if dry_run:
            _show_plans(plans, as_json=as_json)
            return
        total = sum(group.rows for groups in plans.values() for group in groups)
        results: dict[str, Compacted] = {}
        with RecordProgress(f"compact {topic}", total) as progress:
            for date in wanted:
                results[date] = compactor.run(date, progress.advance)
        _show_results(topic, results, as_json=as_json)
        if not all(each.may_remove for each in results.values()):
            raise SystemExit(EXIT_WRONG)


def _show_plans(plans: dict[str, list[Group]], *, as_json: bool) -> None:
    if as_json:
        groups = [
            {
                "dt": date,
                "kind": group.files[0].file.kind,
                "files": [each.file.key for each in group.files],
                "rows": group.rows,
                "bytes": group.bytes,
            }
            for date, found in plans.items()
            for group in found
        ]
        click.echo(json.dumps({"version": COMPACT_VERSION, "dry_run": True, "groups": groups}, indent=2))
        return
    rows = [
        (date, group.files[0].file.kind, str(len(group.files)), f"{group.rows:,}", f"{group.bytes:,}")
        for date, found in plans.items()
        for group in found
    ]
    if rows:
        for line in table([("dt", "kind", "files", "rows", "bytes"), *rows], right={"files", "rows", "bytes"}):
            click.echo(line)
    files = sum(len(group.files) for found in plans.values() for group in found)
    click.echo(f"{files} files would become {len(rows)}; nothing was changed")


def _show_results(topic: str, results: dict[str, Compacted], *, as_json: bool) -> None:
    if as_json:
        dates = [{"dt": date, **asdict(each)} for date, each in results.items()]
        click.echo(json.dumps({"version": COMPACT_VERSION, "topic": topic, "dates": dates}, indent=2))
        return
    for date, done in results.items():
        click.echo(
            f"{topic} {date}: {done.files_before} files, {done.bytes_before:,} bytes became {done.files_after} files, "
            f"{done.bytes_after:,} bytes, with the same {done.rows:,} rows"
        )
        if done.fenced:
            click.echo(f"{topic} {date}: {done.fenced} files were left to another compaction, which was faster")
        if not done.may_remove:
            click.echo(f"{topic} {date}: the store refuses to remove the old files: run `headrace gc {topic} --delete`")
