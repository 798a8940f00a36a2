"""What a rule finds, and how durations are said. Plain values."""

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: `evidence` in one sentence, `step` the next thing to do, `commands` to paste.

    `partition` None: it is about a whole topic, or, with topic "", about the archive.
    """

    rule: str
    severity: Severity
    topic: str
    partition: int | None
    evidence: str
    step: str
    commands: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """What it is about: TOPIC/PARTITION, TOPIC, or the archive."""
        return f"{self.topic}/{self.partition}" if self.partition is not None else self.topic or "archive"

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "topic": self.topic,
            "partition": self.partition,
            "evidence": self.evidence,
            "step": self.step,
            "commands": list(self.commands),
            "runbook": f"docs/runbook/{self.rule}.md",
        }


def spoken(seconds: float) -> str:
    """Return a duration for people, in its two largest units: 45 s, 12 min 5 s, 3 h 10 min, 6 d 2 h."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"
