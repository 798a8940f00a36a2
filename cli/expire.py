"""`headrace expire`: take old dates out of the archive, as entries of its log."""

import json
import logging

import click

from headrace.archiver.expirer import DateFound, Expired, Expirer
from headrace.replay.errors import RequestRefused
from headrace.replay.reader import unknown_topic
from headrace.replay.selection import parse_selection

from .options import EXIT_WRONG, archive_option
from .progress import RecordProgress
from .rewriters import rewriting
from .servers import open_store, reported_errors
from .tables import table

EXPIRE_VERSION = 1


@click.command(name="expire")
@click.argument("topic")
@archive_option
@click.option("--before", required=True, metavar="YYYY-MM-DD", help="The first date that stays.")
@click.option(
    "--undated", is_flag=True, help="Also the records that have no time at all, which lie under dt=1970-01-01."
)
@click.option(
    "--old-versions",
    is_flag=True,
    help="Remove what a versioned bucket keeps of these dates too. Nothing brings it back.",
)
@click.option("--yes", is_flag=True, help="Do it. Without it the verb only shows what would go.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def command(
    topic: str, archive_url: str, before: str, undated: bool, old_versions: bool, yes: bool, as_json: bool
) -> None:
    """Take all dates before a date out of the archive, data and quarantine, as entries of the log.

    `headrace verify` and replays then say that they expired, and by which entry. Offsets, gaps and lag stay what they
    were. Rows that come to such a date later are archived as ever, marked late, and go with the next run.

    It may run beside archivers and `headrace compact`, twice, and be killed at any moment: the next run goes on.
    Objects in Glacier need not be restored. Archivers and readers older than this headrace refuse the log afterwards:
    upgrade them first.

    \b
    headrace expire pin --before 2025-01-01
    headrace expire pin --before 2025-01-01 --yes
    """
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s")
    with reported_errors():
        (date,) = parse_selection(dates=[before]).dates
        if old_versions and not yes:
            raise RequestRefused("--old-versions goes with --yes: without it nothing is removed")
        store = open_store(archive_url)
        expirer = Expirer(
            *(store, topic),
            before=date,
            undated=undated,
            **rewriting("expire"),
        )
        plan = expirer.plan()
        if not expirer.log.state.seq:
            raise unknown_topic(store, topic)
        done: Expired | None = None
        if yes:
            with RecordProgress(f"expire {topic}", sum(len(each.files) for each in plan), unit="files") as progress:
                done = expirer.run(progress.advance, old_versions=old_versions)
        if as_json:
            _echo_json(topic, date, plan if done is None else done.dates, done)
        else:
            _show(topic, date, plan if done is None else done.dates, done)
        if done is not None and (not done.may_remove or done.old_versions is None):
            raise SystemExit(EXIT_WRONG)


def _echo_json(topic: str, before: str, dates: list[DateFound], done: Expired | None) -> None:
    value = {
        "version": EXPIRE_VERSION,
        "topic": topic,
        "before": before,
        "expired": done is not None,
        "dates": [
            {
                "dt": each.dt,
                "files": len(each.files),
                "rows": each.rows("data"),
                "quarantined": each.rows("quarantine"),
                "bytes": each.bytes,
            }
            for each in dates
        ],
        "entries": [] if done is None else done.entries,
        "old_versions": 0 if done is None else done.old_versions,
        "may_remove": done is None or done.may_remove,
    }
    click.echo(json.dumps(value, indent=2))


def _show(topic: str, before: str, dates: list[DateFound], done: Expired | None) -> None:
    rows = [
        (each.dt, str(len(each.files)), f"{each.rows('data'):,}", f"{each.rows('quarantine'):,}", f"{each.bytes:,}")
        for each in dates
    ]
    if rows:
        headings = ("dt", "files", "rows", "quarantined", "bytes")
        for line in table([headings, *rows], right=set(headings[1:])):
            click.echo(line)
    records = sum(each.rows("data") + each.rows("quarantine") for each in dates)
    if done is None:
        click.echo(
            f"{topic}: {records:,} records of {len(dates)} dates before {before}; nothing was changed, --yes does it"
        )
        return
    entries = f" (entries {', '.join(map(str, done.entries))})" if done.entries else ""
    click.echo(f"{topic}: {records:,} records of {len(dates)} dates before {before} expired{entries}")
    if done.old_versions is None:
        click.echo("the store does not let us look for old versions or remove them: some may be left")
    elif done.old_versions:
        click.echo(f"{done.old_versions:,} old versions were removed for good")
    if not done.may_remove:
        click.echo(
            f"{topic}: the store refuses to remove the files: run `headrace gc {topic} --delete` with that right"
        )
