"""`headrace files`: the committed Parquet files of a snapshot, or what came and went since one."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import click

from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectStore
from headrace.replay.errors import RequestRefused
from headrace.replay.line_file import LineFile
from headrace.replay.loading import object_url
from headrace.replay.selection import parse_selection
from headrace.replay.snapshots import snapshot_files

from .options import archive_option
from .servers import open_store, reported_errors

MANIFEST_FOLDER = "_symlink_format_manifest"


@click.command(name="files")
@click.argument("topic")
@archive_option
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry.")
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="Only what came after this log entry.")
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date. Repeat for several.")
@click.option(
    "--kind",
    type=click.Choice(["data", "quarantine", "all"]),
    default="data",
    show_default=True,
    help="Records that are columns, those that could not be decoded, or both.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["list", "json", "symlink-manifest"]),
    default="list",
    show_default=True,
    help="list: one s3:// address a line.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"symlink-manifest: write DIR/{MANIFEST_FOLDER}/dt=D/manifest, one a date, as Hive and Trino read them.",
)
def command(
    topic: str,
    archive_url: str,
    at: int | None,
    since: int | None,
    dates: tuple[str, ...],
    kind: str,
    form: str,
    into: Path | None,
) -> None:
    """List exactly the files that a snapshot of a topic consists of.

    Objects that a crash left behind are never among them. Keep the snapshot's number: `--at` lists the same files
    later, and `--since` what a daily job has not seen yet. With --since, files that were removed after SEQ are named
    on standard error, and under "removed" in JSON.

    \b
    headrace files pin --dt 2026-11-23
    headrace files pin --since 42 --format json
    duckdb -c "select count(*) from read_parquet([$(headrace files pin | sed "s/.*/'&'/" | paste -sd,)])"
    """
    with reported_errors():
        if into is not None and form != "symlink-manifest":
            raise RequestRefused("--into goes with --format symlink-manifest")
        store = open_store(archive_url)
        kinds = ("data", "quarantine") if kind == "all" else (kind,)
        found = snapshot_files(store, topic, at=at, since=since, dates=parse_selection(dates=dates).dates, kinds=kinds)
        if form == "json":
            click.echo(json.dumps(found.as_json(store), indent=2))
            return
        for gone in found.removed:
            click.echo(f"removed since {since}: {object_url(store, gone.file.key)}", err=True)
        if into is None:
            click.echo(_addresses(store, found.files), nl=False)
        else:
            _write_manifests(store, found.files, into / MANIFEST_FOLDER)


def _addresses(store: ObjectStore, files: Iterable[CommittedFile]) -> str:
    return "".join(f"{object_url(store, each.file.key)}\n" for each in files)


def _write_manifests(store: ObjectStore, files: Iterable[CommittedFile], folder: Path) -> None:
    by_date: dict[str, list[CommittedFile]] = defaultdict(list)
    for each in files:
        by_date[each.file.dt].append(each)
    for dt, of_date in sorted(by_date.items()):
        if "/" in dt or "\0" in dt:  # a fold's dates are as they were stored
            raise RequestRefused(f"dt={dt!r} is no date, and would lead out of {folder}: `headrace verify` the topic")
        target = folder / f"dt={dt}"
        target.mkdir(parents=True, exist_ok=True)
        with LineFile(target / "manifest", overwrite=True) as manifest:
            manifest.write(_addresses(store, of_date).encode())
        click.echo(f"{target / 'manifest'}: {len(of_date)} files", err=True)
