"""The part of `headrace replay` that sends into a Kafka topic, and what both parts show of a plan."""

import time
from collections.abc import Mapping
from typing import Any

import click

from headrace.archiver.object_store import ObjectStore
from headrace.replay.findings import gap_text
from headrace.replay.kafka_replay import KafkaReplay, Receipt
from headrace.replay.kafka_target import Allowances, Clock
from headrace.replay.plan import Plan
from headrace.replay.reader import open_reading
from headrace.replay.selection import Selection

from .progress import RecordProgress


def replay_into_kafka(
    store: ObjectStore,
    topic: str,
    selection: Selection,
    at: int | None,
    target: str,
    kafka: Mapping[str, Any],
    allow: Allowances,
) -> None:
    """Replay into a topic, going on where an earlier run of the same command was, and prove it."""
    clock = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
    newest = open_reading(store, topic, selection, at=at)
    with KafkaReplay(kafka, target, allow=allow, clock=clock, archive_url=store.url) as replay:
        found = replay.begin(topic, selection.describe(), at)
        reading = newest
        if found is not None and found.snapshot != newest.plan.snapshot:
            reading = open_reading(store, topic, selection, at=found.snapshot)
        show_plan(reading.plan)
        if found is not None:
            click.echo(f"going on where an earlier run of this replay into {target} ended", err=True)
        with RecordProgress(f"replay {topic}", reading.plan.rows) as progress:
            receipt = replay.send(reading, progress.update)
        with RecordProgress(f"compare {target}", receipt.sent + receipt.earlier) as progress:
            replay.prove(progress.update)
    _show_receipt(topic, receipt)
    if newest.plan.snapshot != receipt.snapshot and newest.plan.ranges != reading.plan.ranges:
        click.echo(
            f"the archive has gone on to snapshot {newest.plan.snapshot}; this replay stays at {receipt.snapshot}. "
            "Name what is newer by --from or --at, with --allow-not-empty",
            err=True,
        )


def show_plan(plan: Plan) -> None:
    """Say what will be read, and which recorded gaps are in it."""
    files = sum(len(unit.files) for unit in plan.units)
    about = "" if plan.exact else "up to "
    click.echo(
        f"replaying {plan.topic} ({plan.selection.describe()}) from snapshot {plan.snapshot}: {about}{plan.rows:,} "
        f"records of {len(plan.ranges)} partitions in {files:,} files, {plan.bytes:,} bytes",
        err=True,
    )
    for identity, gap in plan.gaps():
        click.echo(gap_text(plan.topic, identity, gap), err=True)


def _show_receipt(topic: str, receipt: Receipt) -> None:
    for note in receipt.notes:
        click.echo(f"note: {note}", err=True)
    total = receipt.sent + receipt.earlier
    earlier = f" ({receipt.earlier:,} of them by earlier runs)" if receipt.earlier else ""
    click.echo(
        f"replayed {total:,} records of {topic} into {receipt.target}{earlier}; target verified: counts and digests of "
        "keys, values, headers and timestamps are equal"
    )
