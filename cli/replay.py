"""`headrace replay`: bring an archived range back, checked, to standard output, files or Kafka topics."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from headrace.replay.checkpoint_range import checkpoint_name
from headrace.replay.errors import RequestRefused
from headrace.replay.kafka_target import Allowances, Clock
from headrace.replay.line_file import LineFile
from headrace.replay.replay_plan import ReplayPlan
from headrace.replay.transform import Transform

from .configuration import setting_option
from .kafka_settings import kafka_config_option, reading_settings
from .options import EXIT_USAGE, archive_option
from .replay_options import ALLOWANCES, Request, allowance_options, selection_of, selection_options
from .replay_planning import kept_plan, plan_of, show_plan, show_refused
from .replay_run import Run
from .servers import open_store, reported_errors

SELECTING = ("from_", "to", "tz", "partitions", "dates", "keys", "hex_keys", "where", "at", "topic_id", "lineage")
PLANNING = (*SELECTING, "into", "form", "strip_headers", "provenance_headers", "topics")


@click.command(name="replay")
@click.argument("topics", nargs=-1, metavar="TOPIC...")
@archive_option
@selection_options
@click.option(
    "--into",
    metavar="stdout|jsonl:PATH|avro:PATH|parquet:PATH|kafka:TOPIC",
    help="Where the records go. With several topics, {topic} in the name stands for each.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["event", "raw"]),
    help="stdout, jsonl: event (default) decodes for people; raw is exact, with key, value and headers in base64. "
    "parquet: event (default) has the event's columns beside the exact record; raw only the record.",
)
@click.option("--plan-only", is_flag=True, help="Show the plan and what the target would alter, and stop.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep the plan in FILE and stop."
)
@click.option(
    "--plan", "plan_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Run just this plan."
)
@click.option("--resume", metavar="ID", help="Go on with a replay that was begun.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, and write nothing.")
@click.option(
    "--receipt",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the receipt to FILE, not into the archive.",
)
@click.option("--overwrite", is_flag=True, help="Files: replace one that exists.")
@click.option("--allow-empty", is_flag=True, help="A plan of 0 records is an answer, not a mistake.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="kafka: records a second.")
@setting_option(
    "kafka.servers", "--target-kafka", "--kafka", "target_kafka", help="kafka: the target's bootstrap servers."
)
@kafka_config_option
@click.option("--strip-headers", is_flag=True, help="kafka: leave the records' headers out.")
@click.option("--provenance-headers", is_flag=True, help="kafka: add headers that say where a record came from.")
@allowance_options
def command(topics: tuple[str, ...], archive_url: str, **options: Any) -> None:
    """Replay archived ranges: every record once, by offset in its partition, checked against its digest.

    The plan is shown first: a snapshot's files, parts and gaps, and what the target would alter. The run does just
    that plan, and its receipt says what was read and written, and whether that is exact; `headrace verify --receipt`
    reads the target back later. Offsets must be in the archive; times and keys filter records.

    Into Kafka, records keep partition, order, key, value, headers and timestamp; offsets are new, and the receipt maps
    them. A run that was stopped goes on where it was, by --resume or by the same command. Files appear whole or not at
    all.

    \b
    headrace replay pin --into stdout | head -3
    headrace replay pin --dt 2026-11-23 --into parquet:pins.parquet
    headrace replay pin --from 2026-11-23T10:00 --to 2026-11-23T11:00 --tz Europe/Berlin --into jsonl:pins.jsonl
    headrace replay pin follow --into kafka:{topic}_again --save plan.json
    headrace replay --plan plan.json
    """
    clock = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
    with reported_errors():
        options["topics"] = topics
        kafka = _target(options)
        allow = Allowances(
            **{name.replace("-", "_"): options[f"allow_{name.replace('-', '_')}"] for name in ALLOWANCES}
        )
        store = open_store(archive_url)
        if options["plan_file"] is not None or options["resume"] is not None:
            _refuse_together(options)
            plan = kept_plan(store, options["plan_file"], options["resume"]).accepting(allow.names())
        else:
            request = _request(options, allow)
            look = options["plan_only"] or options["dry_run"] or options["save"] is not None
            plan, refused = plan_of(store, request, kafka, clock, refuse=not look)
            if look:
                show_plan(plan)
                show_refused([] if options["dry_run"] else refused)  # a dry run finds them, and more
                _save(options["save"], plan)
                if options["save"] is None and options["plan_only"] and refused:
                    raise SystemExit(EXIT_USAGE)
        if options["plan_only"] or options["save"] is not None:
            return
        run = Run(
            store,
            plan,
            kafka,
            clock,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            receipt_file=options["receipt"],
            plan_in_file=options["plan_file"] is not None,
            overwrite=options["overwrite"],
            rate=options["rate"],
        )
        if options["dry_run"]:
            run.try_it()
        else:
            run.run()


def _target(options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings of the target's Kafka; none are read, and no secret asked for, where there is none."""
    into = options["into"]
    if options["target_kafka"] is None or (into is not None and not into.startswith("kafka:")):
        return None
    return reading_settings(options["target_kafka"], options["kafka_config"])


def _refuse_together(options: dict[str, Any]) -> None:
    """A plan that was kept says everything about what is read and where it goes."""
    if options["plan_file"] is not None and options["resume"] is not None:
        raise RequestRefused("--plan and --resume: only one of them")
    given = [name for name in (*PLANNING, "plan_only", "save") if options[name]]
    if given:
        raise RequestRefused("--plan and --resume run what was planned: leave out topics, --into and what selects")


def _request(options: dict[str, Any], allow: Allowances) -> Request:
    if options["into"] is None:
        raise RequestRefused("--into is missing: stdout, jsonl:PATH, avro:PATH, parquet:PATH or kafka:TOPIC")
    return Request(
        topics=options["topics"],
        selection=selection_of(options),
        at=options["at"],
        into=options["into"],
        form=options["form"],
        transform=Transform(options["strip_headers"], options["provenance_headers"]),
        allow=allow,
        allow_empty=options["allow_empty"],
        checkpoints=(checkpoint_name(options["from_"]), checkpoint_name(options["to"])),
    )


def _save(path: Path | None, plan: ReplayPlan) -> None:
    if path is not None:
        with LineFile(path, overwrite=True) as file:
            file.write(plan.encode())
        click.echo(f"the plan is in {path}; run it by: headrace replay --plan {path}", err=True)
