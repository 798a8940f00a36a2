"""The rules that regard no partition: clashing schemas, holes in what sessions account for, spools about to drop. Pure.

As in rules.py each has a page in docs/runbook/, and says nothing when its facts are missing.
"""

import shlex
from collections.abc import Callable, Iterator

from .finding import Finding, Severity, spoken
from .thresholds import Thresholds
from .whole import Account, Whole

WholeRule = Callable[[Whole, Thresholds, int], Iterator[Finding]]


def spool_about_to_drop(whole: Whole, thresholds: Thresholds, now_ms: int) -> Iterator[Finding]:
    """A producer's queue grows, and will refuse or drop events soon."""
    worst: dict[tuple[str, str], Account] = {}
    for each in whole.accounts:
        seconds = each.seconds_until_drop
        if seconds is None or each.closed or now_ms - each.told_ms > thresholds.account_s * 1000:
            continue
        before = worst.get((each.service, each.host))
        if before is None or seconds < (before.seconds_until_drop or 0.0):
            worst[each.service, each.host] = each
    for each in worst.values():
        seconds = (each.seconds_until_drop or 0.0) - max(0, now_ms - each.told_ms) / 1000
        if seconds >= thresholds.drop_warning_s:
            continue
        severity: Severity = "critical" if seconds < thresholds.drop_critical_s else "warning"
        when = f"in {spoken(seconds)}" if seconds > 0 else "now"
        evidence = f"{each.service} on {each.host} will refuse events {when}: {each.waiting:,} wait for Kafka"
        step = "Is Kafka reachable from that host? Until it is: free disk space, or raise the spool's bound there."
        yield Finding("spool-about-to-drop", severity, each.topic, None, evidence, step, ("headrace spool DIR",))


def audit_hole(whole: Whole, thresholds: Thresholds, now_ms: int) -> Iterator[Finding]:
    """Events that a session accepted are nowhere, or wait in a memory of which nothing is heard any more."""
    for each in whole.accounts:
        command = f"headrace verify {shlex.quote(each.topic)} --audit"
        who = f"session {each.session[:12]} of {each.service} on {each.host}"
        if each.unexplained:
            evidence = f"{who} accepted {each.unexplained:,} events that it neither delivered nor lost nor still has"
            step = "Audit the topic: it names each number. What nothing explains is lost; please report it as a bug."
            yield Finding("audit-hole", "critical", each.topic, None, evidence, step, (command,))
        silent_s = (now_ms - each.told_ms) / 1000
        if each.own and each.in_memory and each.waiting and not each.closed and silent_s > thresholds.account_s:
            evidence = (
                f"{who} had {each.waiting:,} events waiting in memory, and has been silent for {spoken(silent_s)}"
            )
            step = "Does the process still run? If it was killed they are gone: give it a spool on disk."
            yield Finding("audit-hole", "warning", each.topic, None, evidence, step, (command,))


def schema_conflict(whole: Whole, _: Thresholds, _now_ms: int) -> Iterator[Finding]:
    """Two schema texts share one fingerprint: they differ in what Avro's canonical form leaves out."""
    for each in whole.conflicts:
        evidence = f"two schema texts have the fingerprint {each.fingerprint}; rows are read with the first of them"
        step = "Compare the two: where logical types differ, one of the producers' columns are read wrongly."
        first = f"schemas/{each.fingerprint}.avsc"
        commands = tuple(
            f"aws s3 cp $HEADRACE_ARCHIVE/{name} -" for name in (first, f"{first[:-5]}-{each.sha256}.avsc")
        )
        yield Finding("schema-conflict", "warning", "", None, evidence, step, commands)


WHOLE_RULES: tuple[WholeRule, ...] = (spool_about_to_drop, audit_hole, schema_conflict)
WHOLE_NAMES = tuple(rule.__name__.replace("_", "-") for rule in WHOLE_RULES)
