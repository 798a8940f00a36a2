"""Replays into a real Kafka for tests: planned as the command line plans them, and what the target then holds."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from servers import Servers
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value, rows

from headrace.cli.replay_options import Request
from headrace.cli.replay_planning import plan_of
from headrace.replay import Selection
from headrace.replay.kafka_range import read_ranges
from headrace.replay.kafka_target import Allowances, Clock, read_target
from headrace.replay.receipts import TopicOutcome, store_plan
from headrace.replay.replay_plan import ReplayPlan
from headrace.replay.running import run_into_kafka
from headrace.replay.transform import Transform

FOREVER = {"retention.ms": "-1"}
CLOCK = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)

ODD = [
    Rec(0, 0, pin_value(0), b"", NOV_23_MS, [("a", b"1"), ("a", None), ("a", b""), ("", b"x")]),
    Rec(0, 3, None, b"tombstone", 1),
    Rec(0, 4, b"", None, NOV_23_MS - 1),
    Rec(0, 9, b"\xff\x00 no frame", b"\x00", -1),
    Rec(2, 5, pin_value(5), None, NOV_23_MS),
]


def kafka(servers: Servers) -> dict[str, Any]:
    return {"bootstrap.servers": servers.kafka}


def contents(servers: Servers, topic: str) -> dict[int, list[Rec]]:
    """What the target holds, by partition, with offsets replaced by places."""
    ranges = read_target(kafka(servers), topic, CLOCK).ranges
    found: dict[int, list[Rec]] = {partition: [] for partition in ranges}
    for partition, batch in read_ranges(kafka(servers), topic, ranges, monotonic=time.monotonic):
        found[partition].extend(rows([batch]))
    return {p: [placed(r, place) for place, r in enumerate(each)] for p, each in found.items()}


def placed(record: Rec, place: int) -> Rec:
    return Rec(record.partition, place, record.value, record.key, record.timestamp, record.headers)


def expected(records: Sequence[Rec], partition: int) -> list[Rec]:
    return [placed(r, place) for place, r in enumerate(r for r in records if r.partition == partition)]


def planned(
    servers: Servers,
    archive: SmallArchive,
    target: str,
    *,
    selection: Selection | None = None,
    allow: Allowances | None = None,
    transform: Transform | None = None,
) -> ReplayPlan:
    """The plan that the command line would run, kept in the archive as it does."""
    request = Request(
        topics=(archive.topic,),
        selection=selection or Selection(),
        at=None,
        into=f"kafka:{target}",
        form=None,
        transform=transform or Transform(),
        allow=allow or Allowances(),
        allow_empty=False,
    )
    plan, _ = plan_of(archive.store, request, kafka(servers), CLOCK, refuse=True)
    return store_plan(archive.store, plan).accepting(plan.allow)


def replay(
    servers: Servers,
    archive: SmallArchive,
    target: str,
    *,
    selection: Selection | None = None,
    allow: Allowances | None = None,
    transform: Transform | None = None,
    rate: float | None = None,
) -> TopicOutcome:
    plan = planned(servers, archive, target, selection=selection, allow=allow, transform=transform)
    return run_into_kafka(
        archive.store, plan, plan.topics[0], kafka(servers), unwatched, clock=CLOCK, records_per_s=rate
    )


@contextmanager
def unwatched(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None


def sent(outcome: TopicOutcome) -> int:
    return outcome.counts.records - outcome.earlier


def archive_of(records: Sequence[Rec], name: str) -> SmallArchive:
    """An archive whose address is its own, so that no other test's progress is taken for its own."""
    archive = SmallArchive(name)
    archive.commit(records)
    return archive
