"""Makes the plan of `headrace replay`, and shows it: what is read, which gaps are in it, what the target alters."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from headrace.archiver.object_store import ObjectStore
from headrace.replay.errors import RequestRefused, TargetUnfit
from headrace.replay.findings import gap_text
from headrace.replay.kafka_target import Alteration, Clock, Target, alterations, read_target
from headrace.replay.reader import open_reading
from headrace.replay.receipts import stored_plan
from headrace.replay.replay_plan import PlannedTarget, ReplayPlan, TopicReplay, check_plan, decode_plan

from .replay_options import Request

GAPS_SHOWN = 20


def plan_of(
    store: ObjectStore, request: Request, kafka: Mapping[str, Any] | None, clock: Clock, *, refuse: bool
) -> tuple[ReplayPlan, list[Alteration]]:
    """Plan a request. Returns the plan, and what the target would do that was not accepted.

    A replay into Kafka that was begun before gives the plan that it was begun with. Raises TargetUnfit for what was not
    accepted when `refuse`, and what reading the log and asking Kafka raise.
    """
    topics: list[TopicReplay] = []
    targets: dict[str, Target] = {}
    for topic in request.topics:
        plan = open_reading(store, topic, request.selection, at=request.at, checkpoints=request.checkpoints).plan
        target = request.target(topic)
        if target.kind == "kafka":
            if kafka is None:
                raise RequestRefused("--into kafka:TOPIC needs --target-kafka, or HEADRACE_KAFKA in the environment")
            facts = targets[topic] = read_target(kafka, target.name, clock)
            target = _with_facts(target, facts)
        topics.append(TopicReplay(plan, target, request.at))
    whole = ReplayPlan(store.url, tuple(topics), request.transform, request.allow.names(), request.allow_empty)
    begun = stored_plan(store, whole.id) if whole.kind == "kafka" else None
    if begun is not None:
        check_plan(store, begun)
        return begun.accepting(whole.allow), []
    accepted: list[Alteration] = []
    refused: list[Alteration] = []
    for each in whole.topics if targets else ():
        for found in alterations(targets[each.plan.topic], each.plan, resuming=False, now_ms=clock.now_ms()):
            (accepted if found.allow in whole.allow else refused).append(found)
    if refused and refuse:
        raise TargetUnfit(refused[0].refusal())
    return whole.accepting((), [each.what for each in accepted]), refused


def _with_facts(target: PlannedTarget, facts: Target) -> PlannedTarget:
    bases = tuple((partition, end) for partition, (_, end) in sorted(facts.ranges.items()))
    return replace(target, cluster_id=facts.cluster_id, topic_id=facts.topic_id, bases=bases)


def kept_plan(store: ObjectStore, plan_file: Path | None, replay: str | None) -> ReplayPlan:
    """Return a plan from a file, or of a replay that was begun, held against the log. Raises RequestRefused, ..."""
    if plan_file is not None:
        try:
            plan = decode_plan(plan_file.read_bytes(), str(plan_file))
        except OSError as error:
            raise RequestRefused(f"cannot read {plan_file}: {error.strerror or error}") from error
    else:
        found = stored_plan(store, replay or "")
        if found is None:
            raise RequestRefused(
                f"{store.url} has no replay {replay!r}; the id is in what the replay said at its start"
            )
        plan = found
    check_plan(store, plan)
    return plan


def show_plan(plan: ReplayPlan) -> None:
    """Say on standard error what will be read and where it goes, as a table, then gaps and alterations."""
    rows = [("topic", "snapshot", "partitions", "files", "parts", "records", "bytes", "gaps", "selected", "into")]
    for each in plan.topics:
        own = each.plan
        into = each.target.kind + (f":{each.target.name}" if each.target.name else "")
        about = "" if own.counted else "up to "
        rows.append(
            (
                own.topic,
                str(own.snapshot),
                str(len(own.ranges)),
                f"{own.files:,}",
                f"{own.parts:,}",
                f"{about}{own.rows:,}",
                f"{own.bytes:,}",
                str(sum(1 for _ in own.gaps())),
                own.selection.describe(),
                into,
            )
        )
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if 1 <= index <= 7 else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip(), err=True)
    for each in plan.topics:
        gaps = list(each.plan.gaps())
        for identity, gap in gaps[:GAPS_SHOWN]:
            click.echo(gap_text(each.plan.topic, identity, gap), err=True)
        if len(gaps) > GAPS_SHOWN:
            click.echo(f"and {len(gaps) - GAPS_SHOWN} gaps more: `headrace log {each.plan.topic}`", err=True)
        for removal in [each for covered in each.plan.ranges for each in covered.removals][:GAPS_SHOWN]:
            click.echo(
                f"{removal.kind}: {each.plan.topic}/{removal.partition}: {removal.rows:,} records between offsets "
                f"{removal.first} and {removal.last}, by entry {removal.seq}: the range is exact without them",
                err=True,
            )
    for text in (*plan.altered, *plan.transform.reasons()):
        click.echo(f"alters: {text}", err=True)


def show_refused(refused: list[Alteration]) -> None:
    """Say what the target would do that was not accepted."""
    for each in refused:
        click.echo(f"would be refused: {each.refusal()}", err=True)
