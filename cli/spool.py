"""`headrace spool`: what waits in a spool folder. Changes nothing in it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from headrace.producer.spool.dead_letters import Kept
from headrace.producer.spool.inspection import Folder, look
from headrace.producer.spool.letter_inspection import DeadLetters, letter_json, look_at_letters

from .options import EXIT_USAGE, EXIT_WRONG, fail

SPOOL_VERSION = 1


@click.command(name="spool")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--dead-letters", "list_letters", is_flag=True, help="List each event that was put aside, and why.")
@click.option("--payloads", is_flag=True, help="With --dead-letters and --json: their keys and values too, as base64.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; see below.")
def command(folder: Path, list_letters: bool, payloads: bool, as_json: bool) -> None:
    """Show what app processes have in the spool folder DIR, and what dead ones left. Repairs nothing.

    \b
    state    alive: a process uses it, or is delivering it; orphan: its process is dead
    waiting  events that are not delivered yet, as far as the last cursor tells (it is up to a second old)
    bytes    what its files take on disk
    age      seconds since the oldest waiting event was emitted
    damage   events lost to damage, holes (damaged places), torn tails (the last write of a killed process)

    Dead letters are events put aside by reason: too large, or refused by Kafka (kept whole), or with values that do
    not fit (only type and reason are kept). `headrace ship DIR --dead-letters` sends those again that are whole.

    JSON: {"version": 1, "spool", "waiting", "bytes", "folders": [{"service", "name", "alive", "waiting", "bytes",
    "segments", "age_s", "holes", "damaged", "torn_tails", "problem"}], "dead_letters": [{"service", "count",
    "by_reason", "sendable", "bytes", "damaged", "oldest_ms", "newest_ms"}]}, and with --dead-letters in each of the
    latter "letters": [{"process", "at_ms", "reason", "error", "type", "sendable", "topic", "seq", "bytes"}]

    Exit codes: 0 also when events wait or are put aside, 1 when something is damaged or cannot be read, 2 when DIR is
    not there.
    """
    if payloads and not (list_letters and as_json):
        fail("--payloads goes with --dead-letters --json", EXIT_USAGE)
    now_ms = time.time_ns() // 1_000_000
    try:
        found, letters = look(folder, now_ms), look_at_letters(folder)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}; give the folder that EventLog(spool=...) has", EXIT_USAGE)
    if as_json:
        _show_json(folder, found, letters, list_letters=list_letters, payloads=payloads)
    else:
        _show(found, letters, now_ms, list_letters=list_letters)
    if any(each.damaged or each.holes or each.problem for each in found) or any(each.damaged for each in letters):
        raise SystemExit(EXIT_WRONG)


def _show_json(
    folder: Path, found: list[Folder], letters: list[DeadLetters], *, list_letters: bool, payloads: bool
) -> None:
    total = {"waiting": sum(each.waiting for each in found), "bytes": sum(each.bytes for each in found)}
    dead = [each.as_json() for each in letters]
    if list_letters:
        for service, shown in zip(letters, dead, strict=True):
            shown["letters"] = [letter_json(process, kept, payload=payloads) for process, kept in service.found]
    folders = [each.as_json() for each in found]
    everything = {"version": SPOOL_VERSION, "spool": str(folder), **total, "folders": folders, "dead_letters": dead}
    click.echo(json.dumps(everything, indent=2))


def _show(found: list[Folder], letters: list[DeadLetters], now_ms: int, *, list_letters: bool) -> None:
    for each in found:
        click.echo(_line(each))
    for service in letters:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(service.by_reason.items()))
        age = "" if service.oldest_ms is None else f", oldest {max(now_ms - service.oldest_ms, 0) / 1000:,.1f} s"
        damage = f"; {service.damaged} damaged lines" if service.damaged else ""
        click.echo(
            f"{service.service}/dead-letters  {service.count:,} put aside ({reasons}), {service.sendable:,} can be "
            f"sent again{age}, {service.bytes:,} bytes{damage}"
        )
        if list_letters:
            for process, kept in service.found:
                click.echo(_letter_line(process, kept))
    orphans = sum(each.alive is False for each in found)
    waiting, size = sum(each.waiting for each in found), sum(each.bytes for each in found)
    click.echo(f"{waiting:,} events waiting in {len(found)} folders ({orphans} orphans), {size:,} bytes")


def _letter_line(process: str, kept: Kept) -> str:
    at = datetime.fromtimestamp(kept.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    record = kept.letter.record
    whole = "" if record is None else f", seq {record.seq} for {record.topic}, {len(record.value):,} bytes"
    return f"  {at}  {kept.letter.reason}  {kept.letter.event_type}: {kept.letter.error}{whole}  ({process})"


def _line(folder: Folder) -> str:
    state = {True: "alive", False: "orphan", None: "unknown"}[folder.alive]
    age = "" if folder.age_s is None else f", oldest {folder.age_s:,.1f} s"
    damage = ""
    if folder.damaged or folder.holes or folder.torn_tails:
        damage = f"; {folder.damaged} events damaged, {folder.holes} holes, {folder.torn_tails} torn tails"
    problem = f"; cannot be read: {folder.problem}" if folder.problem else ""
    where = f"{folder.service}/{folder.name}"
    return f"{where}  {state}  {folder.waiting:,} waiting{age}, {folder.bytes:,} bytes{damage}{problem}"
