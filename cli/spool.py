"""`headrace spool`: what waits in a spool folder. Changes nothing in it."""

import json
import time
from pathlib import Path

import click

from headrace.producer.spool.inspection import Folder, look

from .options import EXIT_USAGE, EXIT_WRONG, fail

SPOOL_VERSION = 1


@click.command(name="spool")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; see below.")
def command(folder: Path, as_json: bool) -> None:
    """Show what app processes have in the spool folder DIR, and what dead ones left. Repairs nothing.

    \b
    state    alive: a process uses it, or is delivering it; orphan: its process is dead
    waiting  events that are not delivered yet, as far as the last cursor tells (it is up to a second old)
    bytes    what its files take on disk
    age      seconds since the oldest waiting event was emitted
    damage   events lost to damage, holes (damaged places), torn tails (the last write of a killed process)

    JSON: {"version": 1, "spool", "waiting", "bytes", "folders": [{"service", "name", "alive", "waiting", "bytes",
    "segments", "age_s", "holes", "damaged", "torn_tails", "problem"}]}

    Exit codes: 0 also when events wait, 1 when something is damaged or cannot be read, 2 when DIR is not there.
    """
    try:
        found = look(folder, time.time_ns() // 1_000_000)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}; give the folder that EventLog(spool=...) has", EXIT_USAGE)
    if as_json:
        total = {"waiting": sum(each.waiting for each in found), "bytes": sum(each.bytes for each in found)}
        folders = [each.as_json() for each in found]
        click.echo(json.dumps({"version": SPOOL_VERSION, "spool": str(folder), **total, "folders": folders}, indent=2))
    else:
        for each in found:
            click.echo(_line(each))
        orphans = sum(each.alive is False for each in found)
        waiting, size = sum(each.waiting for each in found), sum(each.bytes for each in found)
        click.echo(f"{waiting:,} events waiting in {len(found)} folders ({orphans} orphans), {size:,} bytes")
    if any(each.damaged or each.holes or each.problem for each in found):
        raise SystemExit(EXIT_WRONG)


def _line(folder: Folder) -> str:
    state = {True: "alive", False: "orphan", None: "unknown"}[folder.alive]
    age = "" if folder.age_s is None else f", oldest {folder.age_s:,.1f} s"
    damage = ""
    if folder.damaged or folder.holes or folder.torn_tails:
        damage = f"; {folder.damaged} events damaged, {folder.holes} holes, {folder.torn_tails} torn tails"
    problem = f"; cannot be read: {folder.problem}" if folder.problem else ""
    where = f"{folder.service}/{folder.name}"
    return f"{where}  {state}  {folder.waiting:,} waiting{age}, {folder.bytes:,} bytes{damage}{problem}"
