"""What a metric is: its name, kind, labels, meaning, and what of a value it is. Lists of them are what is exported.

docs/metrics.md has the same lists for people; a test compares the two, in both directions. Names are complete but for
the `_total` that Prometheus adds to a counter's. A value is a number, or +Inf for "never"; what is not known has no
sample, and NaN is refused: it would make every sum and every comparison in an alert NaN, or false.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Values = Mapping[tuple[str, ...], float]
Kind = Literal["counter", "gauge"]


@dataclass(frozen=True)
class Metric(Generic[T]):
    """One metric. `values`: by label values, in the order of `labels`; nothing where there is nothing to say."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str
    values: Callable[[T], Values]

    @property
    def exported_as(self) -> str:
        """The name in the exposition."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def read(self, value: T) -> dict[tuple[str, ...], float]:
        """Return the samples. Raises ValueError for a NaN, which is a bug."""
        found = {labels: float(number) for labels, number in self.values(value).items()}
        if any(math.isnan(number) for number in found.values()):
            raise ValueError(f"metric {self.name} is NaN: this is a bug, please report it")
        return found
