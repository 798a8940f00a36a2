"""Progress on standard error: a bar with rate and ETA on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from headrace.schemas.safe_text import safe_line

from .terminal import unguarded

PLAIN_INTERVAL_S = 5.0


class _Rate(ProgressColumn):
    """Records a second, as the bar's own estimate has it."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing while it is not known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


class RecordProgress:
    """Context manager around a long run. `update(done)` may be called as often as one likes.

    `shown` False says nothing at all: for output on the same terminal. `unit`: what is counted.
    """

    def __init__(self, what: str, total: int | None = None, *, shown: bool = True, unit: str = "records") -> None:
        self._what = what
        self._total = total or 0
        self._done = 0
        self._unit = unit
        self._bar: Progress | None = None
        self._started = self._said = time.monotonic()
        self._shown = shown
        if shown and sys.stderr.isatty():
            # A name is shown as it is: it is no markup and no template.
            named = TextColumn("{task.description}", markup=False)
            columns = (named, BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=unguarded(sys.stderr)), transient=True)
            self._task = self._bar.add_task(safe_line(what), total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def advance(self, more: int) -> None:
        """Say that so many more are done; there may be more of them than was thought."""
        self._done += more
        self.update(self._done, max(self._total, self._done))

    def update(self, done: int, total: int | None = None) -> None:
        """Say how many records are done; `total` sets or corrects how many there are."""
        if total is not None:
            self._total = total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self._total)
            return
        now = time.monotonic()
        if self._shown and now - self._said >= PLAIN_INTERVAL_S:
            self._said = now
            rate = done / (now - self._started)
            left = f"{(self._total - done) / rate:,.0f} s left" if rate else "no rate yet"
            click.echo(f"{self._what}: {done:,} of {self._total:,} {self._unit}, {rate:,.0f}/s, {left}", err=True)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
