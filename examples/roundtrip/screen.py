"""What the demo prints: numbered steps with their times, and one line that is kept up to date while something runs.

On a terminal the moving line is redrawn in place; elsewhere (a file, CI) it is printed now and then as a plain line.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

# A log of a run without a terminal gets a line only this often.
PLAIN_INTERVAL_S = 5.0
BAR_WIDTH = 24
EIGHTHS = " ▏▎▍▌▋▊▉█"


class Screen:
    """The demo's output. `clock` gives seconds, from any start."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console = console
        self._clock = clock
        self._began = clock()
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step's title, and how long the step took when it went well."""
        self._number += 1
        self.console.print(f"\n[bold cyan]{self._number}[/] [bold]{escape(title)}[/]", highlight=False, soft_wrap=True)
        began = self._clock()
        yield
        self.console.print(f"   [dim]{self._clock() - began:.1f} s[/]", highlight=False)

    def say(self, line: str, style: str = "") -> None:
        """Print one line below the current step."""
        self.console.print(Text("   " + line, style=style), soft_wrap=True)

    def plain(self, line: str = "", style: str = "") -> None:
        """Print one line from the left edge, never wrapped: results and commands to copy."""
        self.console.print(Text(line, style=style), soft_wrap=True)

    def moving(self) -> "Moving":
        """Return a line that is kept up to date until it is closed."""
        return Moving(self.console, self._clock)

    def elapsed_s(self) -> float:
        """Return the seconds since the demo began."""
        return self._clock() - self._began


class Moving:
    """Lines that change in place on a terminal. Use as a context manager; `update` as often as wanted."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._printed_at = float("-inf")
        self._live = Live(console=console, refresh_per_second=8, transient=False) if console.is_terminal else None
        self._last: list[str] = []

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._last and error is None:
            self._print()

    def update(self, lines: Iterable[str], headline: str = "") -> None:
        """Show these lines from now on. Without a terminal: `headline` now and then, and the lines at the end."""
        self._last = list(lines)
        if self._live is not None:
            self._live.update(Text("\n".join("   " + line for line in self._last)))
            return
        now = self._clock()
        if now - self._printed_at >= PLAIN_INTERVAL_S:
            self._printed_at = now
            self._console.print(Text("   " + (headline or self._last[0])), soft_wrap=True)

    def _print(self) -> None:
        for line in self._last:
            self._console.print(Text("   " + line), soft_wrap=True)


def bar(part: float, whole: float) -> str:
    """Draw part/whole as a bar of fixed width."""
    share = 1.0 if whole <= 0 else min(1.0, max(0.0, part / whole))
    cells = int(share * BAR_WIDTH * 8)
    full, rest = divmod(cells, 8)
    drawn = "█" * full + (EIGHTHS[rest] if rest else "")
    return drawn.ljust(BAR_WIDTH, "·")
