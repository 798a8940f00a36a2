"""`headrace lag --watch`: the table again and again, with a sparkline of each topic's records behind."""

import sys
from collections import deque
from collections.abc import Callable, Sequence

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from headrace.archiver.oncall.gather import Gathered
from headrace.archiver.oncall.lag import PartitionLag
from headrace.archiver.oncall.rules import Thresholds, findings
from headrace.archiver.source import SourceError

from .lag_views import lines, plain

SAMPLES = 40
_BARS = "▁▂▃▄▅▆▇█"

Look = Callable[[], tuple[list[PartitionLag], Gathered]]


def watch(look: Look, thresholds: Thresholds, *, every_s: float, pause: Callable[[float], None]) -> None:
    """Show what `look` finds each `every_s` seconds until interrupted; plain tables where there is no terminal."""
    history: dict[str, deque[int]] = {}
    if not sys.stdout.isatty():
        while True:
            click.echo(_screen(look, thresholds, history))
            pause(every_s)
    with Live(console=Console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(Text.from_ansi(_screen(look, thresholds, history)), refresh=True)
            pause(every_s)


def _screen(look: Look, thresholds: Thresholds, history: dict[str, deque[int]]) -> str:
    try:
        lags, gathered = look()
    except SourceError as error:
        return click.style(f"cannot tell: {plain(str(error))}", fg="magenta")
    problems = [each for each in (gathered.store_problem, gathered.kafka_problem, *gathered.unanswered) if each]
    told = [click.style(f"not answered: {plain(each)}", fg="magenta") for each in problems]
    return "\n".join(
        [*lines(lags, findings(lags, thresholds), verbose=False), *told, "", *_sparklines(lags, history), ""]
    )


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
