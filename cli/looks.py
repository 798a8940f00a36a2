"""Wires a look at cluster and archive to the real Kafka, the real S3 and the real clock."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.archiver.object_store import ObjectStore
from headrace.archiver.oncall.audit_tail import AuditTail
from headrace.archiver.oncall.gather import Gatherer
from headrace.archiver.oncall.looking import Looker
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.schemas.catalog import AUDIT_TOPIC, builtin
from headrace.schemas.frame import Decoder


def make_looker(
    kafka: Mapping[str, Any],
    store: ObjectStore,
    archive: str,
    group: str,
    thresholds: Thresholds,
    topics: Sequence[str] = (),
    *,
    with_news: bool = False,
) -> Looker:
    """Return what looks at one cluster and one archive. `kafka`: librdkafka's settings."""
    gatherer = Gatherer(
        kafka,
        store,
        group=group,
        event_topics=builtin().types(),
        now_ms=_now_ms,
        pause=time.sleep,
        monotonic=time.monotonic,
        audit=AuditTail(kafka, AUDIT_TOPIC, Decoder(builtin()), monotonic=time.monotonic),
        with_news=with_news,
    )
    return Looker(
        gatherer, thresholds, archive=archive, group=group, now_ms=_now_ms, monotonic=time.monotonic, topics=topics
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
