"""Runs a plan, topic by topic, and says what became of each. Nothing here decides what is read or where it goes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from headrace.archiver.object_store import ObjectStore
from headrace.archiver.part_digest import PartDigest

from .columns import Columns, plan_schema
from .errors import TargetUnfit
from .file_targets import FileTarget
from .kafka_replay import KafkaReplay
from .kafka_target import Allowances, Clock, check_records, check_target, read_target
from .reader import Reading
from .receipts import TopicOutcome, kafka_target_json
from .replay_plan import ReplayPlan, TopicReplay

OnProgress: TypeAlias = Callable[[int], None]
Watch: TypeAlias = Callable[[str, int], AbstractContextManager[OnProgress]]
"""Given what is done and how many records it has, a context manager that takes the number of those done."""

REFUSALS_SHOWN = 10


def open_plan(store: ObjectStore, whole: ReplayPlan, topic: TopicReplay) -> Reading:
    """Return a reading of one topic of a plan."""
    wanted = topic.target.kind == "parquet" and topic.target.form == "event"
    columns = Columns(plan_schema(store, topic.plan)) if wanted else None
    return Reading(store, topic.plan, columns=columns, allow_empty=whole.allow_empty)


def chosen_reasons(topic: TopicReplay) -> list[str]:
    """Return why a selection makes a replay inexact."""
    where = topic.plan.selection.where
    if where is None:
        return []
    return [f"records were chosen by their columns ({where}); those that could not be decoded were left out"]


def run_into_file(
    store: ObjectStore, whole: ReplayPlan, topic: TopicReplay, watch: Watch, *, overwrite: bool
) -> TopicOutcome:
    """Write one topic's file. Raises RequestRefused, and what reading raises; then no file is left."""
    reading = open_plan(store, whole, topic)
    digests: dict[int, PartDigest] = {}
    name, target = topic.plan.topic, topic.target
    schema = reading.schema
    marker = bytes.fromhex(whole.sha256)[:16]
    done = 0
    with (
        FileTarget(name, target, schema=schema, marker=marker, overwrite=overwrite) as file,
        watch(f"replay {name}", topic.plan.rows) as on_progress,
    ):
        for chunk in reading.chunks():
            file.records.write(chunk)
            digests.setdefault(chunk.partition, PartDigest()).update(chunk.records)
            done += chunk.records.num_rows
            on_progress(done if reading.plan.counted else reading.counts.rows)
    decoded = target.form == "event" and target.kind == "jsonl"
    partitions = [
        {"partition": partition, "records": digest.rows, "digest": digest.hexdigest()}
        for partition, digest in sorted(digests.items())
    ]
    return TopicOutcome(
        topic=topic,
        counts=reading.counts,
        parts=reading.parts_read,
        reasons=[*chosen_reasons(topic), *(["values are decoded, for people"] if decoded else [])],
        target={"bytes": file.file.size, "sha256": file.file.sha256(), "partitions": partitions},
        removed=reading.removed(),
    )


def run_into_kafka(
    store: ObjectStore,
    whole: ReplayPlan,
    topic: TopicReplay,
    kafka: Mapping[str, Any],
    watch: Watch,
    *,
    clock: Clock,
    records_per_s: float | None = None,
    on_resume: Callable[[], None] = lambda: None,
) -> TopicOutcome:
    """Send one topic, and read the target back. Raises what KafkaReplay raises; what was committed then stays."""
    name, target = topic.plan.topic, read_target(kafka, topic.target.name, clock)
    with KafkaReplay(kafka, whole, topic, target, clock=clock, records_per_s=records_per_s) as replay:
        if replay.begin(lambda: open_plan(store, whole, topic)):
            on_resume()
        reading = open_plan(store, whole, topic)
        with watch(f"replay {name}", topic.plan.rows) as on_progress:
            counts = replay.send(reading, on_progress)
        with watch(f"compare {target.topic}", counts.sent + counts.earlier) as on_progress:
            results = replay.prove(on_progress)
    return TopicOutcome(
        topic=topic,
        counts=reading.counts,
        parts=reading.parts_read,
        reasons=[*chosen_reasons(topic), *counts.reasons],
        target=kafka_target_json(results, timestamps_kept=not target.log_append_time),
        earlier=counts.earlier,
        removed=reading.removed(),
    )


def try_run(
    store: ObjectStore,
    whole: ReplayPlan,
    topic: TopicReplay,
    watch: Watch,
    *,
    kafka: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> tuple[TopicOutcome, list[str]]:
    """Read and check everything, and write nothing. Returns what was read, and what the target would refuse."""
    reading = open_plan(store, whole, topic)
    refusals = Refusals()
    target = None
    if kafka is not None and clock is not None:
        target = read_target(kafka, topic.target.name, clock)
    allow = Allowances.of(whole.allow)
    done = 0
    with watch(f"read {topic.plan.topic}", topic.plan.rows) as on_progress:
        for chunk in reading.chunks():
            done += chunk.records.num_rows
            if target is not None and clock is not None:
                now_ms, records = clock.now_ms(), whole.transform.apply(topic.plan.topic, chunk.records)
                refusals.note(lambda: check_records(target, records, allow, now_ms))  # noqa: B023 - called at once
            on_progress(done if reading.plan.counted else reading.counts.rows)
    if target is not None and clock is not None:
        refusals.note(lambda: check_target(target, topic.plan, allow, resuming=False, now_ms=clock.now_ms()))
    outcome = TopicOutcome(
        topic, reading.counts, reading.parts_read, chosen_reasons(topic), {}, removed=reading.removed()
    )
    return outcome, list(refusals)


class Refusals:
    """Gathers what a target would refuse, the first of each kind."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def note(self, check: Callable[[], object]) -> None:
        """Run a check and keep what it says."""
        try:
            check()
        except TargetUnfit as error:
            if len(self._found) < REFUSALS_SHOWN:
                self._found.append(str(error))

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)
