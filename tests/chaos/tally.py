"""Counts of what was done to the archivers, kept by many threads, and the lines that a run ends with."""

import threading
from collections import Counter
from collections.abc import Mapping

from chaos.oracle import Verdict

GROUPS = ("kills", "pauses", "broker restarts", "S3 faults", "re-creations", "retention overtakes", "ENOSPC")
# What a run of 40 minutes must have done at least; a shorter one its share.
QUOTAS_OF_40_MINUTES: Mapping[str, int] = {
    "kills": 300,
    "pauses": 60,
    "broker restarts": 30,
    "S3 faults": 500,
    "re-creations": 10,
    "retention overtakes": 10,
    "ENOSPC": 10,
}


class Tally:
    """Faults by group and kind, and the verdicts of the rounds that ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
        self._verdicts: list[Verdict] = []
        self.notes: Counter[str] = Counter()

    def add(self, group: str, kind: str, count: int = 1) -> None:
        with self._lock:
            self._faults[group][kind] += count

    def note(self, what: str) -> None:
        """Count something worth knowing that is no fault."""
        with self._lock:
            self.notes[what] += 1

    def end_round(self, verdict: Verdict) -> None:
        with self._lock:
            self._verdicts.append(verdict)

    def total(self, group: str) -> int:
        with self._lock:
            return self._faults[group].total()

    def missing(self, quotas: Mapping[str, int]) -> dict[str, int]:
        """Return what is left to do until the quotas are met, by group."""
        return {group: quota - self.total(group) for group, quota in quotas.items() if self.total(group) < quota}

    def lines(self) -> list[str]:
        """Return the report; the last line is the result."""
        with self._lock:
            told = [f"{group}: {kinds.total():,} ({_listed(kinds)})" for group, kinds in self._faults.items()]
            told.append(f"besides: {_listed(self.notes)}")
            faults = sum(kinds.total() for kinds in self._faults.values())
            verdicts = list(self._verdicts)
        archived, in_gaps = sum(v.archived for v in verdicts), sum(v.in_gaps for v in verdicts)
        told.append(
            f"{len(verdicts)} rounds; {archived:,} records archived; {in_gaps:,} acknowledged events lie in recorded "
            "gaps: the run took them from Kafka before they could be read"
        )
        acknowledged, duplicated = sum(v.acknowledged for v in verdicts), sum(v.duplicated for v in verdicts)
        lost = sum(v.lost + v.wrong for v in verdicts)
        recorded, injected = sum(v.gaps_recorded for v in verdicts), sum(v.gaps_injected for v in verdicts)
        equal = "=" if recorded == injected else "IS NOT"
        told.append(
            f"{faults:,} faults, {acknowledged:,} acknowledged events: {lost} lost, {duplicated} duplicated, "
            f"gaps recorded {equal} gaps injected ({recorded} {equal} {injected})"
        )
        return told


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()))
