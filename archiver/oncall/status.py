"""One look at everything: what lag, --check, --json, --explain, the metrics and the page all go by. Pure values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from .finding import Finding
from .gather import Gathered
from .lag import LAG_VERSION, PartitionLag, oldest_s, records_behind, soonest_loss_s

Verdict = Literal["ok", "warning", "critical", "cannot-tell"]
EXIT_CODES: dict[Verdict, int] = {"ok": 0, "warning": 1, "critical": 2, "cannot-tell": 3}


@dataclass(frozen=True)
class Status:
    """What was found at `at_ms`: partitions, worst first, and findings, critical first. `took_s`: the look itself."""

    at_ms: int
    archive: str
    group: str
    lags: Sequence[PartitionLag]
    findings: Sequence[Finding]
    gathered: Gathered
    took_s: float = 0.0

    @property
    def silent(self) -> str:
        """What does not answer, and why; empty when both Kafka and S3 do."""
        return self.gathered.store_problem or self.gathered.kafka_problem

    @property
    def verdict(self) -> Verdict:
        """Return what a monitor is told."""
        if any(each.severity == "critical" for each in self.findings):
            return "critical"
        if self.silent or self._unsure():
            return "cannot-tell"
        return "warning" if self.findings else "ok"

    @property
    def headline(self) -> str:
        """Return why, in one line."""
        if self.findings:
            worst, more = self.findings[0], len(self.findings) - 1
            return f"{worst.where} {worst.rule}: {worst.evidence}" + (f" (and {more} more)" if more else "")
        unsure = self._unsure()
        if self.silent:
            return self.silent
        if unsure:
            return f"{unsure[0].facts.where.topic}/{unsure[0].facts.where.partition}: {unsure[0].note}"
        return f"{self.records_behind:,} records behind in {len(self.lags)} partitions"

    def _unsure(self) -> list[PartitionLag]:
        return [each for each in self.lags if each.state == "unknown" and not each.facts.damaged]

    @property
    def records_behind(self) -> int:
        """All records that are known to wait."""
        return records_behind(self.lags)

    @property
    def seconds_behind(self) -> float | None:
        """The age of the oldest record that is known to wait; None when none has an age."""
        return oldest_s(self.lags)

    @property
    def seconds_to_loss(self) -> float | None:
        """When the first unarchived record may be deleted; None for never or not known."""
        return soonest_loss_s(self.lags)

    @property
    def unanswered(self) -> list[str]:
        """What could not be asked, and why."""
        silent = [each for each in (self.gathered.store_problem, self.gathered.kafka_problem) if each]
        return [*silent, *self.gathered.unanswered]

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form of `headrace lag --json`."""
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return {
            "version": LAG_VERSION,
            "at": at.replace("+00:00", "Z"),
            "archive": self.archive,
            "group": self.group,
            "verdict": self.verdict,
            "records_behind": self.records_behind,
            "seconds_behind": self.seconds_behind,
            "seconds_to_loss": self.seconds_to_loss,
            "findings": [each.as_json() for each in self.findings],
            "unanswered": self.unanswered,
            "partitions": [each.as_json() for each in self.lags],
        }
