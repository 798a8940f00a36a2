"""`headrace lag --watch`: the table again and again, with a sparkline of each topic's records behind."""

import sys
from collections import deque
from collections.abc import Callable, Sequence

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from headrace.archiver.oncall.lag import PartitionLag
from headrace.archiver.oncall.status import Status
from headrace.archiver.source import SourceError

from .lag_views import lines, plain
from .terminal import unguarded

SAMPLES = 40
_BARS = "▁▂▃▄▅▆▇█"

Look = Callable[[], Status]


def watch(look: Look, *, every_s: float, pause: Callable[[float], None]) -> None:
    """Show what `look` finds each `every_s` seconds until interrupted; plain tables where there is no terminal."""
    history: dict[str, deque[int]] = {}
    if not sys.stdout.isatty():
        while True:
            click.echo(screen(look, history))
            pause(every_s)
    with Live(console=Console(file=unguarded(sys.stdout)), auto_refresh=False, screen=False) as live:
        while True:
            live.update(Text.from_ansi(screen(look, history)), refresh=True)
            pause(every_s)


def screen(look: Look, history: dict[str, deque[int]]) -> str:
    """Return what is shown after one look; `history` takes each topic's records behind."""
    try:
        status = look()
    except SourceError as error:
        return click.style(f"cannot tell: {plain(str(error))}", fg="magenta")
    told = [click.style(f"not answered: {plain(each)}", fg="magenta") for each in status.unanswered]
    table = lines(status.lags, status.findings, verbose=False)
    return "\n".join([*table, *told, "", *_sparklines(status.lags, history), ""])


def _sparklines(lags: Sequence[PartitionLag], history: dict[str, deque[int]]) -> list[str]:
    behind: dict[str, int] = {}
    for lag in lags:
        topic = lag.facts.where.topic
        behind[topic] = behind.get(topic, 0) + (lag.records_behind or 0)
    for topic, count in behind.items():
        history.setdefault(topic, deque(maxlen=SAMPLES)).append(count)
    width = max((len(plain(topic)) for topic in behind), default=0)
    return [f"{plain(topic):<{width}}  {sparkline(history[topic]):<{SAMPLES}} {behind[topic]:>12,}" for topic in behind]


def sparkline(values: Sequence[int]) -> str:
    """Return one bar a value, scaled to the largest; a blank for zero, so that caught up looks like nothing."""
    largest = max(values, default=0)
    if largest <= 0:
        return " " * len(values)
    return "".join(" " if value <= 0 else _BARS[(value * len(_BARS) - 1) // largest] for value in values)
