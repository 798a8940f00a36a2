"""The least that each role may be allowed in a Kafka whose authorizer is on: what it asks of Kafka, and nothing else.

Read and Write bring Describe with them, and a user who may write to any topic may be idempotent (Kafka 3.0 and later),
so neither is named. Groups named headrace-... other than the archiver's are only names that the client library wants.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from headrace.schemas.catalog import AUDIT_TOPIC

from .default_names import REPLAY_PREFIX, SCHEMA_TOPIC

Role = Literal["producer", "archiver", "replay", "lag"]
ROLES: tuple[Role, ...] = ("producer", "archiver", "replay", "lag")


class Grant(NamedTuple):
    """One thing that is allowed. `kind`: topic, group, transactional-id or cluster. `prefixed`: all names so begun."""

    operation: str
    kind: str
    name: str
    prefixed: bool = False


def grants_of(role: Role, topics: Sequence[str], group: str) -> list[Grant]:
    """Return what a role needs. `topics`: those it logs, archives, replays into or watches; `group`: the archiver's."""
    return list(dict.fromkeys(_GRANTS[role](topics, group)))


def _producer(topics: Sequence[str], _group: str) -> list[Grant]:
    return [Grant("Write", "topic", name) for name in (*topics, SCHEMA_TOPIC, AUDIT_TOPIC)]


def _archiver(topics: Sequence[str], group: str) -> list[Grant]:
    return [
        *(Grant("Read", "topic", name) for name in (*topics, SCHEMA_TOPIC)),
        Grant("Read", "group", group),
        Grant("Describe", "group", "headrace-schema-reader"),
    ]


def _replay(topics: Sequence[str], _group: str) -> list[Grant]:
    return [
        *(Grant(operation, "topic", name) for name in topics for operation in ("Write", "Read", "DescribeConfigs")),
        Grant("Write", "transactional-id", REPLAY_PREFIX, prefixed=True),
        Grant("Read", "group", REPLAY_PREFIX, prefixed=True),
        Grant("Describe", "group", "headrace-compare"),
    ]


def _lag(topics: Sequence[str], group: str) -> list[Grant]:
    return [
        *(Grant(operation, "topic", name) for name in topics for operation in ("Read", "DescribeConfigs")),
        Grant("Read", "topic", AUDIT_TOPIC),
        Grant("Describe", "group", group),
        Grant("Describe", "group", "headrace-lag"),
        # The bytes of logs, for retention by size, and open transactions.
        Grant("Describe", "cluster", "kafka-cluster"),
        Grant("Describe", "transactional-id", "*"),
    ]


_GRANTS = {"producer": _producer, "archiver": _archiver, "replay": _replay, "lag": _lag}


def commands_for(grants: Sequence[Grant], user: str, bootstrap: str) -> list[list[str]]:
    """Return the words of the kafka-acls.sh commands that give all grants: one for those with the same operations."""
    operations: dict[tuple[str, str, bool], list[str]] = {}
    for grant in grants:
        operations.setdefault((grant.kind, grant.name, grant.prefixed), []).append(grant.operation)
    alike: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for (kind, name, prefixed), allowed in operations.items():
        words = ["--cluster"] if kind == "cluster" else [f"--{kind}", name]
        alike.setdefault((tuple(allowed), prefixed), []).extend(words)
    return [
        [
            *(*_COMMAND, bootstrap, "--add", "--allow-principal", user),
            *(word for operation in allowed for word in ("--operation", operation)),
            *where,
            *(["--resource-pattern-type", "prefixed"] if prefixed else []),
        ]
        for (allowed, prefixed), where in alike.items()
    ]


_COMMAND = ("kafka-acls.sh", "--bootstrap-server")
