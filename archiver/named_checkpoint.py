"""Named checkpoints: a position for each partition of some topics, under a name that is given once.

docs/archive-format.md, "Named checkpoints". One is created from the logs as they are and never changed. It names each
log's head with its hash, so that whoever uses it can tell that it belongs to that very log.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .log_entries import log_key, sha256_of
from .log_reading import read_state
from .log_state import Identity, LogState
from .object_store import ObjectNotFound, ObjectStore

CHECKPOINT_FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class CheckpointRefused(Exception):
    """A checkpoint cannot be made or found as asked. The message says why and what to do."""


class CheckpointCorrupt(Exception):
    """A checkpoint's object does not hold what the format says, or does not fit the log that it names."""


@dataclass(frozen=True, slots=True)
class TopicCheckpoint:
    """One topic in a checkpoint: log entry `seq` with its hash, and `next` of each partition of the topic then."""

    topic: str
    seq: int
    head_sha256: str
    cluster_id: str
    topic_id: str
    positions: Mapping[Identity, int]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "seq": self.seq,
            "head_sha256": self.head_sha256,
            "cluster_id": self.cluster_id,
            "topic_id": self.topic_id,
            "positions": [
                {"partition": at.partition, "lineage": at.lineage, "next": offset}
                for at, offset in sorted(self.positions.items())
            ],
        }


@dataclass(frozen=True, slots=True)
class NamedCheckpoint:
    """A checkpoint: its name, by whom and when it was made (for people), and its topics."""

    name: str
    writer: str
    at: str
    topics: Mapping[str, TopicCheckpoint]

    def of(self, topic: str) -> TopicCheckpoint:
        """Return one topic's part. Raises CheckpointRefused, naming the topics that it has."""
        try:
            return self.topics[topic]
        except KeyError:
            message = f"checkpoint {self.name!r} has no topic {topic!r}; it has {', '.join(sorted(self.topics))}"
            raise CheckpointRefused(message) from None

    def encode(self) -> bytes:
        """Return the object's bytes."""
        value = {
            "format": CHECKPOINT_FORMAT,
            "name": self.name,
            "writer": self.writer,
            "at": self.at,
            "topics": {topic: each.as_json() for topic, each in self.topics.items()},
        }
        return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def checkpoint_key(name: str) -> str:
    """Return the key of a checkpoint. Raises CheckpointRefused for what is no name."""
    if NAME.fullmatch(name) is None:
        raise CheckpointRefused(
            f"{name!r} is no name for a checkpoint: use up to 200 letters, digits, `.`, `_` and `-`"
        )
    return f"names/{name}.json"


def create_checkpoint(store: ObjectStore, name: str, topics: Sequence[str], *, writer: str, at: str) -> NamedCheckpoint:
    """Make a checkpoint of these topics as their logs are now.

    A name that exists is refused, unless what is there says the very same positions: then that one is returned. Raises
    CheckpointRefused, StoreError, and what reading a log raises.
    """
    key = checkpoint_key(name)
    made = NamedCheckpoint(name, writer, at, {topic: _of_state(read_state(store, topic)) for topic in topics})
    empty = [topic for topic, each in made.topics.items() if not each.seq]
    if empty or not topics:
        what = f"the archive has no topic {empty[0]!r}" if empty else "no topic was named"
        raise CheckpointRefused(f"checkpoint {name!r} was not made: {what}")
    if store.put_if_absent(key, made.encode()):
        return made
    there = read_checkpoint(store, name)
    if there.topics != made.topics:
        raise CheckpointRefused(
            f"checkpoint {name!r} exists since {there.at} and says something else; take another name"
        )
    return there


def _of_state(state: LogState) -> TopicCheckpoint:
    positions = {at.identity: at.next for at in state.partitions()}
    return TopicCheckpoint(state.topic, state.seq, state.head_sha256, state.cluster_id, state.topic_id, positions)


def read_checkpoint(store: ObjectStore, name: str) -> NamedCheckpoint:
    """Read a checkpoint. Raises CheckpointRefused when there is none, CheckpointCorrupt, StoreError."""
    key = checkpoint_key(name)
    try:
        body = store.get(key)
    except ObjectNotFound:
        known = ", ".join(checkpoint_names(store)[:20]) or "none yet"
        raise CheckpointRefused(f"there is no checkpoint {name!r} in {store.url}; there are: {known}") from None
    return _decode(body, name, f"{store.url}/{key}")


def checkpoint_names(store: ObjectStore) -> list[str]:
    """Return the names of the checkpoints, sorted."""
    return [info.key.removeprefix("names/").removesuffix(".json") for info in store.list("names/")]


def check_against_log(store: ObjectStore, checkpoint: TopicCheckpoint) -> None:
    """Raise CheckpointCorrupt unless the log has the entry that the checkpoint was made at, unchanged."""
    where = f"{store.url}/{log_key(checkpoint.topic, checkpoint.seq)}"
    try:
        found = sha256_of(store.get(log_key(checkpoint.topic, checkpoint.seq)))
    except ObjectNotFound:
        raise CheckpointCorrupt(
            f"{where}, which a checkpoint names, does not exist: restore it from a backup"
        ) from None
    if found != checkpoint.head_sha256:
        message = f"{where} has SHA-256 {found}; the checkpoint was made with {checkpoint.head_sha256}"
        raise CheckpointCorrupt(f"{message}: the log or the checkpoint was changed since")


def _decode(body: bytes, name: str, where: str) -> NamedCheckpoint:
    try:
        value = json.loads(body)
        if value["format"] != CHECKPOINT_FORMAT:
            raise CheckpointCorrupt(
                f"{where}: its format is {value['format']!r}, this headrace reads {CHECKPOINT_FORMAT}"
            )
        if value["name"] != name:
            raise CheckpointCorrupt(f"{where}: it is the checkpoint {value['name']!r}; the object was moved or changed")
        topics = {topic: _topic(topic, each) for topic, each in value["topics"].items()}
        found = NamedCheckpoint(name, value["writer"], value["at"], topics)
        if found.encode() != body:
            raise CheckpointCorrupt(f"{where}: is not in the form that it was written in: it was changed since")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = (
            f"{where}: is no checkpoint ({type(error).__name__}: {error}). It was changed; restore it from a backup"
        )
        raise CheckpointCorrupt(message) from error
    return found


def _topic(topic: str, value: Mapping[str, Any]) -> TopicCheckpoint:
    topic_id = value["topic_id"]
    positions = {Identity(topic_id, at["partition"], at["lineage"]): int(at["next"]) for at in value["positions"]}
    return TopicCheckpoint(topic, int(value["seq"]), value["head_sha256"], value["cluster_id"], topic_id, positions)
