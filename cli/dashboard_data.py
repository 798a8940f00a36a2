"""What the page of `headrace dashboard` shows, as one JSON object. Pure: judgements in, plain values out.

Names of topics, workers, hosts; offsets, counts, times, and the sentences of findings. No setting, no address of a
server but where an error text has one, and nothing that is in an event.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headrace.archiver.oncall.lag import PartitionLag, by_topic, oldest_s, records_behind, soonest_loss_s
from headrace.archiver.oncall.looking import Sample, Trouble
from headrace.archiver.oncall.status import Status
from headrace.schemas.safe_text import safe_line

PAGE_VERSION = 1
POINTS_MAX = 90
ACCOUNTS_SHOWN = 50
FINDINGS_SHOWN = 100
PARTITIONS_SHOWN = 5000

PARTITION_FIELDS = (
    *("partition", "state", "records_behind", "seconds_behind", "seconds_to_loss", "catch_up", "catch_up_seconds"),
    *("log_start", "durable_next", "taken", "committed", "log_end", "worker", "heartbeat_age_seconds", "note"),
)


def page_json(
    status: Status, history: Mapping[str, Sequence[Sample]], troubles: Sequence[Trouble], every_s: float
) -> bytes:
    """Return what the page asks for."""
    news = {each.topic: asdict(each) for each in status.gathered.news}
    topics: list[dict[str, Any]] = []
    room = PARTITIONS_SHOWN
    for name, lags in by_topic(status.lags).items():
        rows = [_row(lag) for lag in lags[:room]]
        room -= len(rows)
        topics.append({**_topic(name, lags, history.get(name, ()), news.get(name)), "rows": rows})
    value = {
        "version": PAGE_VERSION,
        "at_ms": status.at_ms,
        "every_s": every_s,
        "took_s": round(status.took_s, 3),
        "verdict": status.verdict,
        "headline": status.headline,
        "kafka": not status.gathered.kafka_problem,
        "s3": not status.gathered.store_problem,
        "unanswered": status.unanswered,
        "records_behind": status.records_behind,
        "seconds_behind": status.seconds_behind,
        "seconds_to_loss": status.seconds_to_loss,
        "partitions": len(status.lags),
        "fields": PARTITION_FIELDS,
        "findings": [{**each.as_json(), "where": each.where} for each in status.findings[:FINDINGS_SHOWN]],
        "finding_count": len(status.findings),
        "topics": topics,
        "workers": _workers(status.lags),
        "spools": _spools(status),
        "troubles": [asdict(each) for each in troubles],
    }
    return json.dumps(safe_value(value), separators=(",", ":"), allow_nan=False).encode()


def safe_value(value: Any) -> Any:
    """Return a value whose texts hold nothing that turns the direction of writing round, or that a terminal obeys."""
    if isinstance(value, str):
        return safe_line(value)
    if isinstance(value, dict):
        return {safe_value(name): safe_value(each) for name, each in value.items()}
    return [safe_value(each) for each in value] if isinstance(value, list | tuple) else value


def _row(lag: PartitionLag) -> list[Any]:
    values = lag.as_json()
    return [values[name] for name in PARTITION_FIELDS]


def _topic(name: str, lags: Sequence[PartitionLag], samples: Sequence[Sample], news: Any) -> dict[str, Any]:
    waiting = [each for each in lags if each.waiting]
    rates = [each.catch_up for each in waiting]
    slowest = next((when for when in ("never", "unknown", "in") if any(each.when == when for each in rates)), "done")
    arrivals = [each.seconds for each in rates if each.when == "in" and each.seconds is not None]
    return {
        "name": name,
        "state": lags[0].state,
        "note": lags[0].note,
        "partitions": len(lags),
        "waiting": len(waiting),
        "unknown": sum(each.records_behind is None for each in lags),
        "records_behind": records_behind(lags),
        "seconds_behind": oldest_s(lags),
        "seconds_to_loss": soonest_loss_s(lags),
        "catch_up": slowest,
        "catch_up_seconds": max(arrivals, default=None),
        "lost": sum(each.lost for each in lags),
        "hour_rows": sum(each.facts.rows for each in lags),
        "hour_quarantined": sum(each.facts.quarantined for each in lags),
        "history": _thinned(samples),
        "news": news,
    }


def _thinned(samples: Sequence[Sample]) -> list[tuple[int, int, float | None]]:
    """Return at most POINTS_MAX points, the newest included; of those that fall together the worst."""
    step = -(-len(samples) // POINTS_MAX) or 1
    groups = [samples[max(0, end - step) : end] for end in range(len(samples), 0, -step)]
    points = []
    for group in reversed(groups):
        ages = [each.seconds_behind for each in group if each.seconds_behind is not None]
        points.append((group[-1].at_ms, max(each.records_behind for each in group), max(ages, default=None)))
    return points


def _workers(lags: Sequence[PartitionLag]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for lag in lags:
        beat = lag.facts.heartbeat
        if beat is None:
            continue
        entry = found.setdefault(
            beat.worker,
            {"worker": beat.worker, "partitions": 0, "topics": set(), "age_s": lag.beat_age_s, "trouble": ""},
        )
        entry["partitions"] += 1
        entry["topics"].add(lag.facts.where.topic)
        entry["age_s"] = min(entry["age_s"], lag.beat_age_s)
        if beat.trouble:
            entry["trouble"] = beat.trouble
            entry["trouble_since_ms"] = beat.trouble_since_ms
    return [{**each, "topics": sorted(each["topics"])} for _, each in sorted(found.items())]


def _spools(status: Status) -> list[dict[str, Any]]:
    """Return the hosts whose sessions told of themselves, those that will drop first at the top."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in status.gathered.whole.accounts:
        if each.closed:
            continue
        entry = found.setdefault(
            (each.service, each.host),
            {"service": each.service, "host": each.host, "sessions": 0, "waiting": 0, "lost": 0, "refused": 0}
            | {"in_memory": False, "until_drop_s": None, "told_ms": 0},
        )
        entry["sessions"] += 1
        for name in ("waiting", "lost", "refused"):
            entry[name] += getattr(each, name)
        entry["in_memory"] |= each.in_memory
        entry["told_ms"] = max(entry["told_ms"], each.told_ms)
        until = each.seconds_until_drop
        if until is not None and (entry["until_drop_s"] is None or until < entry["until_drop_s"]):
            entry["until_drop_s"] = until
    ordered = sorted(
        found.values(),
        key=lambda each: (each["until_drop_s"] is None, each["until_drop_s"] or 0, -each["waiting"], each["host"]),
    )
    return ordered[:ACCOUNTS_SHOWN]
