"""`headrace sql`: a query over exact snapshots, through DuckDB."""

import csv
import json
import sys
from typing import Any

import click
import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.replay.errors import RequestRefused
from headrace.replay.event_json import json_value
from headrace.replay.sql import prepare
from headrace.schemas.safe_text import safe_line, safe_lines

from .options import archive_option
from .servers import open_store, reported_errors
from .terminal import unguarded

ROWS_SHOWN = 100
ROWS_AT_ONCE = 10_000
WIDTH_WITHOUT_TERMINAL = 160


@click.command(name="sql")
@click.argument("query")
@archive_option
@click.option("--at", "snapshots", multiple=True, metavar="TOPIC=SEQ", help="A topic's snapshot. Repeatable.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values, with a header.")
@click.option("--json", "form", flag_value="json", help="A JSON object a line.")
def command(query: str, archive_url: str, snapshots: tuple[str, ...], form: str | None) -> None:
    r"""Query archived topics, each under its own name, as they are at one snapshot.

    Only committed files are read, whatever an archiver does meanwhile; the snapshots are named on standard error, and
    --at asks the same of them later. `dt` is a column. Topics whose names are no plain words go in double quotes. Ids
    of 16 bytes are shown as UUIDs.

    \b
    headrace sql "select dt, count(*) from pin group by dt order by dt"
    headrace sql "select action, count(*) as n from pin where dt = '2026-11-23' group by all" --csv
    headrace sql 'select * from "my.topic" limit 5' --at my.topic=42 --json
    """
    with reported_errors():
        store = open_store(archive_url)
        prepared = prepare(store, query, at=dict(_snapshot(text) for text in snapshots))
        for topic, seq in prepared.snapshots.items():
            left_out = prepared.quarantined[topic]
            quarantined = f", without {left_out:,} records in quarantine" if left_out else ""
            click.echo(f"{topic}: snapshot {seq}{quarantined}", err=True)
        try:
            result = prepared.connection.execute(query)
            names = [str(column[0]) for column in result.description or []]
            {"csv": _csv, "json": _json, None: _table}[form](names, result)
        except duckdb.Error as error:
            raise RequestRefused(f"the query failed: {error}") from error


def _snapshot(text: str) -> tuple[str, int]:
    topic, _, seq = text.rpartition("=")
    if not topic or not seq.isdecimal() or int(seq) < 1:
        raise RequestRefused(f"--at {text}: expected TOPIC=SEQ, for instance pin=42")
    return topic, int(seq)


def _csv(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    # Exact, but for a terminal.
    out = sys.stdout if sys.stdout.isatty() else unguarded(sys.stdout)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    while rows := result.fetchmany(ROWS_AT_ONCE):
        writer.writerows([_plain(value) for value in row] for row in rows)


def _json(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    while rows := result.fetchmany(ROWS_AT_ONCE):
        for row in rows:
            click.echo(json.dumps(dict(zip(names, map(json_value, row), strict=True)), ensure_ascii=False))


def _table(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    console = Console(file=unguarded(sys.stdout), width=width)
    rows = result.fetchmany(ROWS_SHOWN + 1)
    numbers = [all(isinstance(row[at], int | float) for row in rows) for at in range(len(names))]
    table = Table()
    for name, number in zip(names, numbers, strict=True):
        table.add_column(Text(safe_line(name)), justify="right" if number else "left")
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*(Text("" if value is None else safe_lines(str(_plain(value)))) for value in row))
    console.print(table)
    if len(rows) > ROWS_SHOWN:
        click.echo(f"the first {ROWS_SHOWN} rows; --csv and --json give all of them", err=True)


def _plain(value: Any) -> Any:
    shown = json_value(value)
    return json.dumps(shown, ensure_ascii=False) if isinstance(shown, dict | list) else shown
