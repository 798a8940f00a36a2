"""`headrace ddl`: the table definition of a topic, for engines with a catalogue."""

import click

from headrace.replay.columns import plan_schema
from headrace.replay.ddl import ENGINES, Engine, table_definition
from headrace.replay.reader import open_reading

from .options import archive_option
from .servers import open_store, reported_errors


@click.command(name="ddl")
@click.argument("topic")
@archive_option
@click.option("--engine", type=click.Choice(ENGINES), default="duckdb", show_default=True, help="Whose SQL.")
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The columns of the snapshot after this entry.")
def command(topic: str, archive_url: str, engine: Engine, at: int | None) -> None:
    """Print the statements that make a topic's folders a table.

    The columns are those of all files of the snapshot; make the table anew when a schema has gained some. It is over
    the folders as they are: for reports that must be exact, use a snapshot's files (see docs/reading-the-archive.md).

    \b
    headrace ddl pin --engine trino
    """
    with reported_errors():
        store = open_store(archive_url)
        plan = open_reading(store, topic, at=at).plan
        click.echo(table_definition(engine, topic, store.url, plan_schema(store, plan)), nl=False)
