"""The rules: what is wrong with a partition, how bad it is, the evidence, and what to do. Pure functions.

Each rule has a page, docs/runbook/<rule>.md. A rule says nothing when its facts are missing: what cannot be told is the
state `unknown`, never a guess. Commands are for pasting; what stands in capitals in them is for the reader to fill in.
"""

import math
import shlex
from collections.abc import Callable, Iterable

from .finding import Finding, Severity, spoken
from .heartbeat import SILENT_S
from .lag import PartitionLag
from .thresholds import Thresholds
from .whole import Whole
from .whole_rules import WHOLE_NAMES, WHOLE_RULES

Rule = Callable[[PartitionLag, Thresholds], Finding | None]


def findings(
    lags: Iterable[PartitionLag], thresholds: Thresholds, whole: Whole | None = None, now_ms: int = 0
) -> list[Finding]:
    """Return what all rules find, critical first, in the order of RULES within; `now_ms` is the moment of `whole`."""
    found = [each for lag in lags for rule in RULES if (each := rule(lag, thresholds)) is not None]
    if whole is not None:
        found += [each for rule in WHOLE_RULES for each in rule(whole, thresholds, now_ms)]
    order = {name: number for number, name in enumerate(NAMES)}
    return sorted(
        found, key=lambda each: (each.severity != "critical", order[each.rule], each.topic, each.partition or 0)
    )


def _found(lag: PartitionLag, rule: str, severity: Severity, evidence: str, step: str, *commands: str) -> Finding:
    where = lag.facts.where
    return Finding(rule, severity, where.topic, where.partition, evidence, step, commands)


def _topic(lag: PartitionLag) -> str:
    """Return the topic as a shell takes it: its name may be one that somebody else put into the bucket."""
    return shlex.quote(lag.facts.where.topic)


def damaged_log(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """The topic's commit log cannot be read: nothing of it is archived or replayed until that is mended."""
    if not lag.facts.damaged:
        return None
    step = "Restore the named object from a version or a backup; archivers of this topic stop until then."
    return _found(lag, "damaged-log", "critical", lag.note, step, f"headrace verify {_topic(lag)}")


def data_lost(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """Kafka deleted records before they were archived; the archiver will record the gap."""
    if not lag.lost or lag.facts.ends is None:
        return None
    evidence = f"Kafka's log begins at {lag.facts.ends.log_start}, the archive's next offset is {lag.facts.durable}"
    step = "They are gone from Kafka. Get the archiver going: it records the gap and goes on. Then raise the retention."
    return _found(lag, "data-lost", "critical", evidence, step, *_retention_commands(lag, 2.0))


def losing_data(lag: PartitionLag, thresholds: Thresholds) -> Finding | None:
    """Retention will reach the first unarchived record before the archive does, or soon."""
    seconds = lag.loss.seconds
    if seconds is None or not lag.waiting:
        return None
    arrives = lag.catch_up.seconds if lag.catch_up.when == "in" else None
    late = arrives is not None and arrives >= seconds
    if not late and seconds >= thresholds.loss_critical_s:
        return None
    if arrives is not None and not late and arrives < seconds / 2:
        return None  # close, and the archive is much faster
    what = f"by retention.{'ms' if lag.loss.by == 'time' else 'bytes'}"
    evidence = f"the first unarchived record may be deleted in {spoken(seconds)} {what}; caught up: {_arrival(lag)}"
    step = "Buy time first: raise the topic's retention (it costs disk, see the page), then find out why it is behind."
    return _found(lag, "losing-data", "critical", evidence, step, *_retention_commands(lag, 2.0))


def truncated(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """The archive is ahead of Kafka: Kafka lost records that it had acknowledged, or another cluster answers."""
    ends, durable = lag.facts.ends, lag.facts.durable
    if ends is None or durable is None or durable <= ends.last_stable or lag.facts.problem:
        return None
    evidence = f"the archive is at {durable}, Kafka's log ends at {ends.last_stable}"
    step = (
        "Check that this is the right cluster and how it lost records (unclean election?). The archived ones stay; the "
        "archiver goes on in a new lineage."
    )
    return _found(lag, "truncated", "critical", evidence, step, f"headrace log {_topic(lag)} --tail 20")


def upload_failing(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """A worker says itself that it cannot commit."""
    beat = lag.facts.heartbeat
    if beat is None or not beat.trouble or _silent(lag):
        return None
    lasting = spoken((beat.at_ms - beat.trouble_since_ms) / 1000)
    evidence = f"{beat.worker} has not been able to commit for {lasting}: {beat.trouble}"
    step = "Look at S3: reachable from the archiver, credentials valid, bucket there? It goes on by itself afterwards."
    return _found(lag, "upload-failing", "critical", evidence, step, f"headrace files {_topic(lag)}")


def never_started(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """Records wait, and no archiver has ever looked at the partition."""
    if lag.state != "not-archived" or lag.facts.heartbeat is not None or not lag.waiting:
        return None
    evidence = f"{lag.records_behind} records wait, and no archiver of this group has ever held the partition"
    step = "Start one for this topic, or see why the one that runs was not told of it (--topic, --group)."
    return _found(lag, "never-started", "warning", evidence, step, f"headrace archive --topic {_topic(lag)}")


def not_running(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """The worker that held the partition is silent, and records wait."""
    if lag.facts.heartbeat is None or not _silent(lag) or not lag.waiting:
        return None
    beat = lag.facts.heartbeat
    said = f"; its last words: {beat.trouble}" if beat.trouble else ""
    evidence = f"{beat.worker} was last heard {spoken(lag.beat_age_s or 0)} ago, and records wait{said}"
    step = "Start the archiver again, anywhere: restarting is always safe. Its log says why it ended."
    return _found(lag, "not-running", "critical", evidence, step, f"headrace archive --topic {_topic(lag)}")


def stalled(lag: PartitionLag, thresholds: Thresholds) -> Finding | None:
    """The worker is alive, says nothing is in its way, and does not get on."""
    beat = lag.facts.heartbeat
    if beat is None or beat.trouble or _silent(lag) or not lag.waiting or beat.rate != 0:
        return None
    if lag.seconds_behind is None or lag.seconds_behind < thresholds.behind_warning_s:
        return None
    evidence = f"{beat.worker} is alive, has taken up to {beat.taken}, and nothing became durable for minutes"
    step = "Restart that worker: it is safe. If it stalls again, keep its log: this should not happen."
    return _found(lag, "stalled", "critical", evidence, step)


def open_transaction(lag: PartitionLag, thresholds: Thresholds) -> Finding | None:
    """A producer's transaction has been open for long: nothing behind it can be read by anybody."""
    ends, age_s = lag.facts.ends, lag.held_back_s
    transaction = lag.facts.transaction
    if ends is None or transaction is None or age_s is None or age_s < thresholds.transaction_s:
        return None
    held = ends.high_watermark - ends.last_stable
    evidence = f"{transaction.transactional_id!r} opened one {spoken(age_s)} ago, which holds back {held} offsets"
    step = "Find that producer. If it is dead for good, abort its transaction; what it wrote in it is then void."
    tool, where = "kafka-transactions.sh --bootstrap-server KAFKA", lag.facts.where
    abort = f"{tool} abort --topic {_topic(lag)} --partition {where.partition} --start-offset {ends.last_stable}"
    return _found(lag, "open-transaction", "warning", evidence, step, f"{tool} find-hanging --broker-id ID", abort)


def rewound(lag: PartitionLag, _: Thresholds) -> Finding | None:
    """Kafka was told of more than is durable: the log was set back, or somebody else commits for the group."""
    committed, durable = lag.facts.committed, lag.facts.durable
    if committed is None or durable is None or committed <= durable or lag.facts.durable_from == "group":
        return None
    if lag.facts.recreated or lag.facts.problem:
        return None
    evidence = f"the group committed {committed} to Kafka, the log on S3 says {durable}"
    step = "Was the archive restored from a backup, or does another tool commit for this group? The archiver trusts S3."
    return _found(lag, "rewound", "warning", evidence, step, f"headrace verify {_topic(lag)}")


def behind(lag: PartitionLag, thresholds: Thresholds) -> Finding | None:
    """Old records wait, whatever the reason."""
    seconds = lag.seconds_behind
    if seconds is None or seconds < thresholds.behind_warning_s or not lag.waiting:
        return None
    severity: Severity = "critical" if seconds >= thresholds.behind_critical_s else "warning"
    evidence = f"the oldest unarchived record is {spoken(seconds)} old; caught up: {_arrival(lag)}"
    step = "If it does not shrink, add workers (never more than partitions) or find what slows them in their log."
    return _found(lag, "behind", severity, evidence, step, f"headrace lag --watch --topic {_topic(lag)}")


def quarantined(lag: PartitionLag, thresholds: Thresholds) -> Finding | None:
    """Many records could not be decoded: kept raw, but nobody can query them."""
    facts = lag.facts
    total = facts.rows + facts.quarantined
    if not total or facts.quarantined / total < thresholds.quarantined_share:
        return None
    evidence = f"{facts.quarantined} of {total} archived records could not be decoded"
    step = "Publish the missing schema, or find the producer that writes something else. Nothing is lost meanwhile."
    command = f"headrace files {_topic(lag)} --kind quarantine"
    return _found(lag, "quarantined", "warning", evidence, step, command)


RULES: tuple[Rule, ...] = (
    *(damaged_log, data_lost, losing_data, truncated, upload_failing, not_running, stalled, never_started),
    *(open_transaction, rewound, behind, quarantined),
)
NAMES = (*(rule.__name__.replace("_", "-") for rule in RULES), *WHOLE_NAMES)


def _silent(lag: PartitionLag) -> bool:
    return lag.beat_age_s is not None and lag.beat_age_s > SILENT_S


def _arrival(lag: PartitionLag) -> str:
    if lag.catch_up.when == "in" and lag.catch_up.seconds is not None:
        return f"in {spoken(lag.catch_up.seconds)}"
    return "never at this speed" if lag.catch_up.when == "never" else "not known"


def _retention_commands(lag: PartitionLag, factor: float) -> tuple[str, ...]:
    """Return the change of the topic's retention that buys time: so much more than it has now."""
    retention, topic = lag.facts.retention, lag.facts.where.topic
    if retention is None:
        return ()
    by_bytes = lag.loss.by == "bytes"
    now = retention.bytes if by_bytes else retention.ms
    if now is None:
        return ()
    name, value = ("retention.bytes" if by_bytes else "retention.ms"), math.ceil(now * factor)
    change = "kafka-configs.sh --bootstrap-server KAFKA --alter --entity-type topics --entity-name"
    return (f"{change} {shlex.quote(topic)} --add-config {name}={value}",)
