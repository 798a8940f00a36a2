"""Runs the plan of `headrace replay`: progress, the receipt, and what to type when it was stopped."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from headrace.archiver.object_store import ObjectStore
from headrace.replay.errors import NothingChecked, RequestRefused, TargetUnfit
from headrace.replay.json_lines import JsonLines, LineFormat
from headrace.replay.kafka_target import Clock
from headrace.replay.line_file import LineFile
from headrace.replay.receipts import (
    TopicOutcome,
    drop_plan,
    make_receipt,
    store_plan,
    store_receipt,
    stored_plan,
)
from headrace.replay.replay_plan import ReplayPlan, TopicReplay
from headrace.replay.running import chosen_reasons, open_plan, run_into_file, run_into_kafka, try_run
from headrace.schemas.safe_text import safe_lines

from .progress import RecordProgress
from .replay_planning import show_plan

REMOVED_SHOWN = 5


@contextmanager
def _watch(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with RecordProgress(what, total) as progress:
        yield progress.update


class Run:
    """One run of a plan. `receipt_file`: None keeps the receipt in the archive.

    The plan is kept there too, so that the run can be resumed, unless it lies in a file (`plan_in_file`) or is of files
    and the receipt goes to a file as well: then nothing is written into the archive.
    """

    def __init__(
        self,
        store: ObjectStore,
        plan: ReplayPlan,
        kafka: Mapping[str, Any] | None,
        clock: Clock,
        *,
        at: str,
        receipt_file: Path | None,
        plan_in_file: bool,
        overwrite: bool,
        rate: float | None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._kafka = kafka
        self._clock = clock
        self._at = at
        self._receipt_file = receipt_file
        self._keeps_plan = plan.kind != "stdout" and (
            receipt_file is None or (plan.kind == "kafka" and not plan_in_file)
        )
        self._overwrite = overwrite
        self._rate = rate
        self._moved = False  # whether anything was read by this run
        if plan.kind == "kafka" and kafka is None:
            raise RequestRefused("a replay into Kafka needs --target-kafka, or HEADRACE_KAFKA in the environment")
        if rate is not None and plan.kind != "kafka":
            raise RequestRefused("--rate goes with --into kafka:TOPIC")

    def try_it(self) -> None:
        """Read and check everything, write nothing. Raises TargetUnfit when the target would refuse something."""
        refusals: list[str] = []
        for topic in self._plan.topics:
            outcome, found = try_run(
                self._store,
                self._plan,
                topic,
                _watch,
                kafka=self._kafka if topic.target.kind == "kafka" else None,
                clock=self._clock,
            )
            refusals += found
            _show(outcome, "dry run: would replay")
        for refusal in refusals:
            click.echo(f"would be refused: {refusal}", err=True)
        if refusals:
            raise TargetUnfit(f"the target would refuse {len(refusals)} kinds of things; nothing was written")

    def run(self) -> None:
        """Do what the plan says, and write the receipt."""
        show_plan(self._plan)
        begun_before = True
        if self._keeps_plan:
            begun_before = stored_plan(self._store, self._plan.id) is not None
            kept = store_plan(self._store, self._plan)
            if kept.sha256 != self._plan.sha256:
                raise RequestRefused(
                    f"this replay was begun with another plan: go on with it by `headrace replay --resume {kept.id}`"
                )
            click.echo(f"replay {self._plan.id}", err=True)
        try:
            outcomes = [self._topic(topic) for topic in self._plan.topics]
        except (KeyboardInterrupt, SystemExit):
            self._say_how_to_go_on()
            raise
        except (NothingChecked, RequestRefused, TargetUnfit):
            if not begun_before and not self._moved:
                drop_plan(self._store, self._plan)  # refused before anything was read: there is nothing to go on with
            raise
        body = make_receipt(self._plan, outcomes, at=self._at)
        if self._receipt_file is not None:
            with LineFile(self._receipt_file, overwrite=True) as file:
                file.write(body)
            where = str(self._receipt_file)
        elif self._keeps_plan:
            where = f"{self._store.url}/{store_receipt(self._store, self._plan.id, body)}"
        else:
            return
        exact = not any(outcome.reasons for outcome in outcomes)
        click.echo(f"receipt ({'exact' if exact else 'inexact'}): {where}", err=True)

    @contextmanager
    def _watched(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        with _watch(what, total) as update:

            def moved(count: int) -> None:
                self._moved = True
                update(count)

            yield moved

    def _topic(self, topic: TopicReplay) -> TopicOutcome:
        if topic.target.kind == "stdout":
            outcome = _to_stdout(self._store, self._plan, topic)
        elif topic.target.kind == "kafka":
            outcome = run_into_kafka(
                self._store,
                self._plan,
                topic,
                self._kafka or {},
                self._watched,
                clock=self._clock,
                records_per_s=self._rate,
                on_resume=lambda: click.echo(
                    f"going on where an earlier run of this replay into {topic.target.name} ended", err=True
                ),
            )
        else:
            outcome = run_into_file(self._store, self._plan, topic, self._watched, overwrite=self._overwrite)
        for reason in outcome.reasons:
            click.echo(f"not exact: {reason}", err=True)
        _show(outcome, "replayed")
        return outcome

    def _say_how_to_go_on(self) -> None:
        if self._plan.kind == "stdout":
            return
        command = ["headrace", "replay", "--resume", self._plan.id, "--archive", self._store.url]
        if not self._keeps_plan:
            command = ["headrace", *sys.argv[1:]]
        elif self._kafka is not None and self._plan.kind == "kafka":
            command += ["--target-kafka", str(self._kafka["bootstrap.servers"])]
        state = (
            "what was committed stays, once; go on" if self._plan.kind == "kafka" else "no file was left; start over"
        )
        click.echo(f"stopped: {state} by\n  {shlex.join(command)}", err=True)


def _show(outcome: TopicOutcome, did: str) -> None:
    counts, plan, target = outcome.counts, outcome.topic.plan, outcome.topic.target
    quarantined = f" ({counts.quarantined:,} quarantined)" if counts.quarantined else ""
    earlier = f" ({outcome.earlier:,} of them by earlier runs)" if outcome.earlier else ""
    into = "" if target.kind == "stdout" else f" into {target.name}"
    removed = "".join(f"; {each.text(plan.topic)}" for each in outcome.removed[:REMOVED_SHOWN])
    if len(outcome.removed) > REMOVED_SHOWN:
        removed += f"; and {len(outcome.removed) - REMOVED_SHOWN} more that the receipt names"
    proof = "; target verified: counts and digests of keys, values, headers and timestamps are equal"
    click.echo(
        f"{did} {counts.records:,} records{quarantined} of {plan.topic}{into}{earlier}, all {counts.parts:,} parts "
        f"checked against their digests, {sum(1 for _ in plan.gaps())} gaps{removed}"
        f"{proof if 'partitions' in outcome.target and target.kind == 'kafka' else ''}",
        err=target.kind == "stdout",
    )


def _to_stdout(store: ObjectStore, whole: ReplayPlan, topic: TopicReplay) -> TopicOutcome:
    reading = open_plan(store, whole, topic)
    form: LineFormat = "raw" if topic.target.form == "raw" else "event"
    lines = JsonLines(topic.plan.topic, form)
    shown = sys.stdout.isatty()  # then what a terminal would obey is escaped, which is the same JSON
    try:
        # Lines on a terminal are progress enough.
        with RecordProgress(f"replay {topic.plan.topic}", topic.plan.rows, shown=not shown) as progress:
            for chunk in reading.chunks():
                for piece in lines.lines(chunk):
                    sys.stdout.buffer.write(safe_lines(piece.decode()).encode() if shown else piece)
                progress.update(reading.counts.records if topic.plan.counted else reading.counts.rows)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads has had enough, as `head` has. What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo("stopped: the reader of standard output closed it; the replay is not complete", err=True)
        raise SystemExit(0) from None
    decoded = [] if form == "raw" else ["values are decoded, for people"]
    reasons = [*chosen_reasons(topic), *decoded]
    return TopicOutcome(topic, reading.counts, reading.parts_read, reasons, {}, removed=reading.removed())
