"""The options of `headrace replay`, and what they add up to: a request, before anything is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from headrace.replay.checkpoint_range import checkpoint_name
from headrace.replay.errors import RequestRefused
from headrace.replay.kafka_target import Allowances
from headrace.replay.replay_plan import PlannedTarget, TargetKind
from headrace.replay.selection import Selection, parse_selection
from headrace.replay.transform import Transform

from .configuration import Decorator

ALLOWANCES: Mapping[str, str] = {
    "not-empty": "append to what the target has.",
    "log-append-time": "the target may replace timestamps.",
    "compacted": "the target may drop all but the last of a key.",
    "short-retention": "the target may soon delete records that are old.",
    "fewer-partitions": "records of partition P go to P modulo the target's count.",
    "timestamp-zero": "records of timestamp 0 get the time of sending.",
}
FILE_KINDS: Mapping[str, TargetKind] = {"jsonl": "jsonl", "avro": "avro", "parquet": "parquet"}
_EXPECTED = "expected stdout, jsonl:PATH, avro:PATH, parquet:PATH or kafka:TOPIC"


def allowance_options(command: Any) -> Any:
    """Add an option --allow-... for each thing that a target may do to records."""
    for name, text in reversed(list(ALLOWANCES.items())):
        option: Decorator = click.option(f"--allow-{name}", is_flag=True, help=f"kafka: {text}")
        command = option(command)
    return command


def selection_options(command: Any) -> Any:
    """Add the options that choose records."""
    chosen: list[Decorator] = [
        click.option(
            "--from",
            "from_",
            metavar="OFFSET|TIME|checkpoint:NAME",
            help="First offset, in each chosen partition, or first timestamp: 2026-11-23T10:00:00Z.",
        ),
        click.option("--to", metavar="OFFSET|TIME|checkpoint:NAME", help="End of the range, exclusive."),
        click.option("--tz", metavar="ZONE", help="The zone of times without one, such as Europe/Berlin."),
        click.option("--partition", "-p", "partitions", multiple=True, type=int, metavar="P", help="Repeatable."),
        click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date (UTC). Repeatable."),
        click.option("--key", "keys", multiple=True, metavar="TEXT", help="Only records of this key. Repeatable."),
        click.option("--key-hex", "hex_keys", multiple=True, metavar="HEX", help="The same, for any bytes."),
        click.option("--where", metavar="SQL", help="Only rows for which a condition on columns holds."),
        click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry."),
        click.option("--topic-id", metavar="ID", help="An earlier incarnation of a topic that was made again."),
        click.option(
            "--lineage", type=click.IntRange(min=0), metavar="N", help="An earlier lineage, before a truncation."
        ),
    ]
    for option in reversed(chosen):
        command = option(command)
    return command


def selection_of(options: Mapping[str, Any]) -> Selection:
    """Return what the selection options say. Raises RequestRefused."""
    try:
        keys = [key.encode() for key in options["keys"]] + [bytes.fromhex(key) for key in options["hex_keys"]]
    except ValueError as error:
        raise RequestRefused(f"--key-hex: {error}") from None
    return parse_selection(
        from_=None if checkpoint_name(options["from_"]) else options["from_"],
        to=None if checkpoint_name(options["to"]) else options["to"],
        partitions=options["partitions"],
        dates=options["dates"],
        topic_id=options["topic_id"],
        lineage=options["lineage"],
        keys=keys,
        where=options["where"],
        tz=options["tz"],
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What `headrace replay TOPIC... --into ...` asks for. `into`: may hold `{topic}`."""

    topics: tuple[str, ...]
    selection: Selection
    at: int | None
    into: str
    form: str | None
    transform: Transform
    allow: Allowances
    allow_empty: bool
    checkpoints: tuple[str | None, str | None] = (None, None)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself. Raises RequestRefused."""
        if not self.topics:
            raise RequestRefused("name a topic to replay, or --plan FILE, or --resume ID")
        if len(set(self.topics)) != len(self.topics):
            raise RequestRefused("a topic is named twice")
        if len(self.topics) > 1 and self.at is not None:
            raise RequestRefused("--at is a snapshot of one topic: name one topic, or leave it out")
        if self.kind != "stdout" and len({self.target(topic).name for topic in self.topics}) != len(self.topics):
            raise RequestRefused(f"--into {self.into}: each topic needs a target of its own; put {{topic}} in the name")
        if self.kind != "kafka" and (self.transform.strip_headers or self.transform.provenance):
            raise RequestRefused("--strip-headers and --provenance-headers go with --into kafka:TOPIC")
        if self.kind == "avro" and self.form == "event":
            raise RequestRefused("--into avro: holds records as they are; for decoded columns use parquet or jsonl")

    @property
    def kind(self) -> TargetKind:
        """The kind of target. Raises RequestRefused."""
        kind, _, name = self.into.partition(":")
        if self.into == "stdout":
            return "stdout"
        if kind == "kafka" and name:
            return "kafka"
        if kind not in FILE_KINDS or not name:
            raise RequestRefused(f"--into {self.into}: {_EXPECTED}")
        return FILE_KINDS[kind]

    def target(self, topic: str) -> PlannedTarget:
        """Return where one topic goes, without what only Kafka knows."""
        kind = self.kind
        form = self.form or ("raw" if kind == "avro" else "event")
        name = self.into.partition(":")[2].replace("{topic}", topic)
        if "{topic}" in self.into and ("/" in topic or "\0" in topic):
            raise RequestRefused(f"--into {self.into}: topic {topic!r} would lead to another folder; name it yourself")
        if kind == "kafka":
            return PlannedTarget(kind, name)
        return PlannedTarget(kind, str(Path(name).absolute()) if name else "", form)
