"""The receipt of a replay: what was read, with the digest of each part, where it went, and whether it was exact.

docs/replay.md has the JSON form, docs/archive-format.md the keys. A receipt is written once: a later run of the same
replay that proves the same leaves it, and one that proves something else is kept beside it.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.archiver.object_store import ObjectNotFound, ObjectStore, StoreError

from .errors import RequestRefused
from .findings import gap_json
from .reader import PartRead, ReadCounts
from .removed import Removed
from .replay_plan import ReplayPlan, TopicReplay, decode_plan
from .target_digest import PartitionResult

RECEIPT_VERSION = 1
RECEIPTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What became of one topic. `reasons`: why it is not exact; `target`: JSON, by kind of target.

    `removed`: what was erased or expired in the range: of the rest it is exact all the same.
    """

    topic: TopicReplay
    counts: ReadCounts
    parts: Sequence[PartRead]
    reasons: Sequence[str]
    target: Mapping[str, Any]
    earlier: int = 0
    removed: Sequence[Removed] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        plan = self.topic.plan
        return {
            "topic": plan.topic,
            "snapshot": plan.snapshot,
            "head_sha256": plan.head_sha256,
            "selected": plan.selection.describe(),
            "records": self.counts.records,
            "quarantined": self.counts.quarantined,
            "read": {
                "rows": self.counts.rows,
                "bytes": self.counts.bytes,
                "parts": [
                    {"key": each.key, "partition": each.partition, "rows": each.rows, "digest": each.digest}
                    for each in self.parts
                ],
            },
            "gaps": [gap_json(identity, gap) for identity, gap in plan.gaps()],
            "removed": [each.as_json() for each in self.removed],
            "exact": not self.reasons,
            "reasons": list(self.reasons),
            "target": {**self.topic.target.as_json(), **self.target},
        }


def kafka_target_json(results: Sequence[PartitionResult], *, timestamps_kept: bool) -> dict[str, Any]:
    """Return what the receipt says of a target topic: digests, and the map of offsets."""
    partitions = [
        {
            "partition": each.partition,
            "records": each.records,
            "digest": each.digest,
            "from": each.base,
            "to": each.end,
            "offsets": [list(entry) for entry in each.map],
            "undated": list(each.undated),
        }
        for each in results
    ]
    return {"timestamps_kept": timestamps_kept, "partitions": partitions}


def make_receipt(plan: ReplayPlan, outcomes: Sequence[TopicOutcome], *, at: str) -> bytes:
    """Return the receipt's bytes. `at`: the time of its making, for people."""
    reasons = [reason for each in outcomes for reason in each.reasons]
    value: dict[str, Any] = {
        "version": RECEIPT_VERSION,
        "id": plan.id,
        "at": at,
        "archive": plan.archive,
        "plan_sha256": plan.sha256,
        "exact": not reasons,
        "reasons": reasons,
        "accepted": sorted(plan.allow),
        "altered": list(plan.altered),
        "records": sum(each.counts.records for each in outcomes),
        "topics": [each.as_json() for each in outcomes],
    }
    return _encode({**value, "sha256": hashlib.sha256(_encode(value)).hexdigest()})


def _encode(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def decode_receipt(body: bytes, where: str) -> dict[str, Any]:
    """Return a receipt's fields. Raises RequestRefused for what is none, or was changed."""
    try:
        value: dict[str, Any] = json.loads(body)
        version, stated = value["version"], value.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RequestRefused(f"{where} is no receipt ({type(error).__name__}: {error})") from error
    if version != RECEIPT_VERSION:
        raise RequestRefused(f"{where} is a receipt of version {version}, and this headrace reads {RECEIPT_VERSION}")
    if hashlib.sha256(_encode(value)).hexdigest() != stated:
        raise RequestRefused(f"{where} was changed after it was written: its SHA-256 does not fit")
    return value


# -- in the archive ----------------------------------------------------------------------------------------------------


def plan_key(replay: str) -> str:
    """Return the key of a replay's plan."""
    return f"replays/{replay}/plan.json"


def receipt_key(replay: str, number: int = 1) -> str:
    """Return the key of a replay's receipt; `number` counts receipts that say different things."""
    return f"replays/{replay}/receipt{'' if number == 1 else f'-{number}'}.json"


def stored_plan(store: ObjectStore, replay: str) -> ReplayPlan | None:
    """Return the plan of a replay that was begun, None when there is none. Raises RequestRefused, StoreError."""
    try:
        body = store.get(plan_key(replay))
    except ObjectNotFound:
        return None
    return decode_plan(body, f"{store.url}/{plan_key(replay)}")


def store_plan(store: ObjectStore, plan: ReplayPlan) -> ReplayPlan:
    """Keep a plan before it runs; return the one that is kept, which may be an earlier run's. Raises StoreError."""
    if store.put_if_absent(plan_key(plan.id), plan.encode()):
        return plan
    return stored_plan(store, plan.id) or plan


def drop_plan(store: ObjectStore, plan: ReplayPlan) -> None:
    """Remove the plan of a run that was refused before it began. Where deleting is not allowed, it stays."""
    with contextlib.suppress(StoreError):
        store.delete([plan_key(plan.id)])


def store_receipt(store: ObjectStore, replay: str, body: bytes) -> str:
    """Keep a receipt and return its key: an earlier one's when that says the same. Raises StoreError."""
    for number in range(1, RECEIPTS_MAX):
        key = receipt_key(replay, number)
        if store.put_if_absent(key, body) or _says_the_same(store.get(key), body):
            return key
    raise RequestRefused(f"replay {replay} has {RECEIPTS_MAX} receipts already: something is wrong with its target")


def _says_the_same(one: bytes, other: bytes) -> bool:
    first, second = (json.loads(body) for body in (one, other))
    for each in (first, second):
        each.pop("at", None)
        each.pop("sha256", None)
    return bool(first == second)


def read_receipt(store: ObjectStore, name: str) -> dict[str, Any]:
    """Return the newest receipt of a replay in the archive. Raises RequestRefused when there is none, StoreError."""
    newest: bytes | None = None
    for number in range(1, RECEIPTS_MAX):
        try:
            newest = store.get(receipt_key(name, number))
        except ObjectNotFound:
            break
    if newest is None:
        raise RequestRefused(f"{store.url} has no receipt of a replay {name!r}, and there is no such file")
    return decode_receipt(newest, f"{store.url}/{receipt_key(name)}")
