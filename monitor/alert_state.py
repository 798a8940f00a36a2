"""One alert's course: pending, firing, clearing. Fed the windows of one group in order; says when its state changes."""

from dataclasses import dataclass
from typing import Any

from .rules import Rule
from .transition import State


@dataclass(slots=True)
class AlertState:
    """Ends of windows, in microseconds; None: not so. `told_us`: when the firing alert was last told."""

    pending_us: int | None = None
    firing_us: int | None = None
    clearing_us: int | None = None
    told_us: int = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return self.pending_us is None and self.firing_us is None

    @property
    def firing(self) -> bool:
        """Whether the alert is on."""
        return self.firing_us is not None

    def step(self, rule: Rule, end_us: int, *, breach: bool) -> State | None:
        """Take the window that ends there; return what is to be told of it."""
        if self.firing_us is None:
            if not breach:
                self.pending_us = None
                return None
            if self.pending_us is None:
                self.pending_us = end_us
            if end_us - self.pending_us < rule.for_us:
                return None
            self.firing_us, self.pending_us, self.clearing_us, self.told_us = end_us, None, None, end_us
            return "firing"
        if breach:
            self.clearing_us = None
        elif self.clearing_us is None:
            self.clearing_us = end_us
        if self.clearing_us is not None and end_us - self.clearing_us >= rule.clear_us:
            self.firing_us = self.clearing_us = None
            return "resolved"
        if end_us - self.told_us >= rule.repeat_us:
            self.told_us = end_us
            return "still_firing"
        return None

    def as_json(self) -> Any:
        """Return it in a form for JSON."""
        return [self.pending_us, self.firing_us, self.clearing_us, self.told_us]

    @classmethod
    def of(cls, value: Any) -> "AlertState":
        """Return the state that as_json() gave."""
        return cls(*value)
