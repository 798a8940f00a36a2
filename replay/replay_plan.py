"""A whole replay before it runs: a frozen value that can be shown, saved, and run later exactly as it stands.

It names every file, part and digest that will be read, where the records go, and what was accepted of what the target
does to them. docs/replay.md has its JSON form.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from headrace.archiver.commit_log import read_state
from headrace.archiver.object_store import ObjectStore

from .errors import ArchiveDamaged, RangeMissing, RequestRefused
from .plan import Plan, make_plan
from .plan_json import plan_from_json, plan_json
from .transform import Transform

PLAN_VERSION = 1
AS_IT_IS = Transform()

TargetKind: TypeAlias = Literal["stdout", "jsonl", "avro", "parquet", "kafka"]
KINDS: tuple[TargetKind, ...] = ("stdout", "jsonl", "avro", "parquet", "kafka")


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """Where one topic's records go. `name`: an absolute path, or a topic; `form`: raw or event, for files.

    kafka: `bases` has (partition, offset) where the target ended when the plan was made.
    """

    kind: TargetKind
    name: str = ""
    form: str = "raw"
    cluster_id: str = ""
    topic_id: str = ""
    bases: tuple[tuple[int, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        value: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.kind != "kafka":
            return {**value, "form": self.form}
        ids = {"cluster_id": self.cluster_id, "topic_id": self.topic_id}
        return {**value, **ids, "bases": [list(each) for each in self.bases]}


@dataclass(frozen=True, slots=True)
class TopicReplay:
    """One topic's part of a replay. `asked_at`: the snapshot that was asked for, None for the newest."""

    plan: Plan
    target: PlannedTarget
    asked_at: int | None = None


@dataclass(frozen=True)
class ReplayPlan:
    """Everything that a run does. `allow`: names of allowances; `altered`: what was accepted of what they are for."""

    archive: str
    topics: tuple[TopicReplay, ...]
    transform: Transform = AS_IT_IS
    allow: tuple[str, ...] = ()
    allow_empty: bool = False
    altered: tuple[str, ...] = ()

    @property
    def kind(self) -> TargetKind:
        """What kind of target all topics have."""
        return self.topics[0].target.kind

    @property
    def rows(self) -> int:
        """How many rows are read."""
        return sum(each.plan.rows for each in self.topics)

    def _core(self) -> dict[str, Any]:
        return {
            "version": PLAN_VERSION,
            "id": self.id,
            "archive": self.archive,
            "strip_headers": self.transform.strip_headers,
            "provenance_headers": self.transform.provenance,
            "topics": [
                {**plan_json(each.plan), "asked_at": each.asked_at, "target": each.target.as_json()}
                for each in self.topics
            ],
        }

    def encode(self) -> bytes:
        """Return the document's bytes: canonical JSON, so that equal plans have equal bytes."""
        accepted = {"allow": sorted(self.allow), "allow_empty": self.allow_empty, "altered": list(self.altered)}
        return _canonical({**self._core(), **accepted, "sha256": self.sha256})

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of what is done: of the document without what was accepted, so that more may be, later."""
        return hashlib.sha256(_canonical(self._core())).hexdigest()

    def accepting(self, allow: Iterable[str], altered: Iterable[str] = ()) -> "ReplayPlan":
        """Return the plan with more accepted."""
        return replace(
            self, allow=tuple(sorted({*self.allow, *allow})), altered=tuple(dict.fromkeys((*self.altered, *altered)))
        )

    @property
    def id(self) -> str:
        """Return the replay's id.

        Into Kafka it is the same for the same request, so that a run that was killed is found again by whoever repeats
        the request; a target that was deleted and made again is another one. Into files it is of what is read, too.
        """
        asked: list[Any] = [self.archive, self.transform.strip_headers, self.transform.provenance]
        for each in self.topics:
            target = each.target
            asked.append([each.plan.topic, each.plan.selection.describe(), each.asked_at, target.kind, target.name])
            if target.kind == "kafka":
                asked.append([target.cluster_id, target.topic_id])
            else:
                asked.append([target.form, each.plan.snapshot, each.plan.head_sha256])
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:24]


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def decode_plan(body: bytes, where: str) -> ReplayPlan:
    """Return the plan of a document; `where` names it in errors. Raises RequestRefused."""
    try:
        value: Mapping[str, Any] = json.loads(body)
        if value["version"] != PLAN_VERSION:
            raise RequestRefused(
                f"{where} is a plan of version {value['version']}, and this headrace runs {PLAN_VERSION}"
            )
        found = ReplayPlan(
            archive=str(value["archive"]),
            topics=tuple(
                TopicReplay(plan_from_json(each, where), _target(each["target"]), each["asked_at"])
                for each in value["topics"]
            ),
            transform=Transform(bool(value["strip_headers"]), bool(value["provenance_headers"])),
            allow=tuple(value["allow"]),
            allow_empty=bool(value["allow_empty"]),
            altered=tuple(value["altered"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RequestRefused(f"{where} is no replay plan ({type(error).__name__}: {error}); make it anew") from error
    if found.encode() != body:
        raise RequestRefused(f"{where} was changed after it was saved; make the plan anew")
    return found


def _target(value: Mapping[str, Any]) -> PlannedTarget:
    if value["kind"] not in KINDS:
        raise ValueError(f"unknown kind of target {value['kind']!r}")
    return PlannedTarget(
        kind=value["kind"],
        name=value["name"],
        form=value.get("form", "raw"),
        cluster_id=value.get("cluster_id", ""),
        topic_id=value.get("topic_id", ""),
        bases=tuple((int(partition), int(offset)) for partition, offset in value.get("bases", ())),
    )


def check_plan(store: ObjectStore, plan: ReplayPlan) -> None:
    """Hold a plan that was kept somewhere against the archive's log as it is now.

    Raises RequestRefused for another archive's plan, ArchiveDamaged when the log is not the one that was planned from,
    and what reading the log raises.
    """
    if plan.archive != store.url:
        raise RequestRefused(
            f"the plan is of the archive {plan.archive}, and this is {store.url}: name it by --archive"
        )
    for each in plan.topics:
        own = each.plan
        try:
            state = read_state(store, own.topic, at=own.snapshot)
        except KeyError as error:
            raise RangeMissing(f"the plan's {error.args[0]}; log entries were removed since") from error
        if state.head_sha256 != own.head_sha256:
            raise ArchiveDamaged(
                f"entry {own.snapshot} of {own.topic} has SHA-256 {state.head_sha256}, and the plan was made when it "
                f"had {own.head_sha256}: the log was changed since; `headrace verify {own.topic}` says where"
            )
        if make_plan(state, own.selection) != own:
            raise RequestRefused(f"the plan of {own.topic} is not what this headrace plans from the log: make it anew")
