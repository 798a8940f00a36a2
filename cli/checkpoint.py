"""`headrace checkpoint`: name the archive's positions of now, and look at what was named."""

import json
import os
import socket
from typing import Any

import click

from headrace.archiver.clock import wall_clock
from headrace.archiver.commit_log import topics_of
from headrace.archiver.named_checkpoint import (
    NamedCheckpoint,
    check_against_log,
    checkpoint_names,
    create_checkpoint,
    read_checkpoint,
)

from .options import archive_option
from .servers import open_store, reported_errors
from .tables import table

CHECKPOINT_VERSION = 1
json_option = click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')


@click.group(name="checkpoint")
def command() -> None:
    """Name positions in the archive, and use the names instead of offsets.

    A checkpoint holds, for each partition of some topics, how far it is archived now. It never changes: what it names
    is named for good, and a new position takes a new name.
    """


@command.command()
@click.argument("name")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@archive_option
@json_option
def create(name: str, topics: tuple[str, ...], archive_url: str, as_json: bool) -> None:
    """Make checkpoint NAME of these topics as they are archived now; of all topics, where none is given.

    \b
    headrace checkpoint create before-migration
    headrace checkpoint create report-2026-11 pin follow
    """
    with reported_errors():
        store = open_store(archive_url)
        writer = f"{socket.gethostname()}:{os.getpid()}:checkpoint"
        made = create_checkpoint(store, name, topics or topics_of(store), writer=writer, at=wall_clock())
        _show(made, as_json=as_json)


@command.command()
@click.argument("name")
@archive_option
@json_option
def show(name: str, archive_url: str, as_json: bool) -> None:
    """Show a checkpoint, after checking that each log still has the entry it was made at, unchanged."""
    with reported_errors():
        store = open_store(archive_url)
        found = read_checkpoint(store, name)
        for each in found.topics.values():
            check_against_log(store, each)
        _show(found, as_json=as_json)


@command.command(name="list")
@archive_option
@json_option
def list_them(archive_url: str, as_json: bool) -> None:
    """List the checkpoints: name, when it was made, and its topics."""
    with reported_errors():
        store = open_store(archive_url)
        found = [read_checkpoint(store, name) for name in checkpoint_names(store)]
        if as_json:
            rows = [{"name": each.name, "at": each.at, "topics": sorted(each.topics)} for each in found]
            click.echo(json.dumps({"version": CHECKPOINT_VERSION, "checkpoints": rows}, indent=2))
            return
        lines = [(each.name, each.at, ", ".join(sorted(each.topics)), each.writer) for each in found]
        for line in table([("name", "at", "topics", "writer"), *lines], right=()):
            click.echo(line)


def _show(checkpoint: NamedCheckpoint, *, as_json: bool) -> None:
    if as_json:
        value: dict[str, Any] = json.loads(checkpoint.encode())
        click.echo(json.dumps({"version": CHECKPOINT_VERSION, **value}, indent=2, ensure_ascii=False))
        return
    rows = [
        (topic, str(at.partition), str(at.lineage), str(offset), str(each.seq), each.topic_id)
        for topic, each in sorted(checkpoint.topics.items())
        for at, offset in sorted(each.positions.items())
    ]
    headings = ("topic", "partition", "lineage", "next", "entry", "topic id")
    for line in table([headings, *rows], right={"partition", "lineage", "next", "entry"}):
        click.echo(line)
    click.echo(f"{checkpoint.name}: made {checkpoint.at} by {checkpoint.writer}")
