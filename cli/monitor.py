"""`headrace monitor`: rules over windows of the stream: check them, try them on the archive, run them."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from headrace.monitor.backtest import backtest
from headrace.monitor.durations import microseconds
from headrace.monitor.rules_file import READY
from headrace.monitor.transition import Transition, WindowPoint
from headrace.replay.errors import RequestRefused
from headrace.replay.selection import parse_selection
from headrace.schemas.safe_text import safe_line

from .monitor_alerts import test_alert
from .monitor_options import prefix_option, rules_argument, rules_of, schemas_option, transition_json
from .monitor_run import run_command
from .options import archive_option
from .servers import open_store, reported_errors


@click.group(name="monitor")
def command() -> None:
    """Rules over windows of the stream, live and tried on the past.

    docs/monitor.md says what rules can say. RULES is a file of them, or `ready`: those that headrace brings.
    """


command.add_command(run_command)
command.add_command(test_alert)


@command.command(name="check")
@rules_argument
@schemas_option
@prefix_option
@click.option("--print", "printed", is_flag=True, help="Print the file itself: a copy to begin with.")
def check(rules_path: str, schemas: str | None, topic_prefix: str, printed: bool) -> None:
    """Check a file of rules: all that is wrong with it, each with file, line, rule, key and what is allowed.

    Exit codes: 0 all can be run; 1 something is wrong.
    """
    rules = rules_of(rules_path, schemas, topic_prefix)
    if printed:
        click.echo((READY if rules_path == "ready" else Path(rules_path)).read_text(encoding="utf-8"), nl=False)
        return
    for rule in rules:
        click.echo(f"fine  {rule.name}: {rule.topic}, {rule.measure}, {rule.about or rule.message}")
    click.echo(f"{len(rules)} rules can be run")


@command.command(name="backtest")
@rules_argument
@archive_option
@schemas_option
@prefix_option
@click.option("--from", "from_", required=True, metavar="TIME", help="First window: 2026-11-23T10:00:00Z.")
@click.option("--to", required=True, metavar="TIME", help="End of the last window.")
@click.option("--past", metavar="LENGTH", help="What to learn from before: 7d. Default: what each rule needs.")
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
@click.option("--points", is_flag=True, help="With --json: each window's value too.")
def backtest_command(
    rules_path: str,
    archive_url: str,
    schemas: str | None,
    topic_prefix: str,
    from_: str,
    to: str,
    past: str | None,
    at: int | None,
    as_json: bool,
    points: bool,
) -> None:
    """Run rules over archived events, and list when they would have fired: the answer of the live run.

    Times are event times. Windows that lie within the range whole are judged; what the rules compare with is read from
    before it.

    \b
    headrace monitor backtest rules.toml --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z
    """
    rules = rules_of(rules_path, schemas, topic_prefix)
    told = _Told(as_json=as_json, points=points)
    with reported_errors():
        start_us, end_us = _time("from", from_), _time("to", to)
        if start_us >= end_us:
            raise RequestRefused("the time range is empty: --to is exclusive, and after --from")
        try:
            past_us = None if past is None else microseconds(past)
        except ValueError as error:
            raise RequestRefused(f"--past {error}") from None
        began = time.monotonic()
        counts = backtest(open_store(archive_url), rules, start_us, end_us, told.take, past_us=past_us, at=at)
    seconds = max(time.monotonic() - began, 1e-9)
    for name, reasons in counts.uncounted.items():
        said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        if said:
            click.echo(f"{name}: not counted: {said}", err=True)
    snapshots = ", ".join(f"{topic}: snapshot {seq}" for topic, seq in counts.snapshots.items())
    rate = f"{counts.records:,} records in {seconds:.1f} s ({counts.records / seconds:,.0f} a second)"
    click.echo(f"{told.fired} alerts; {rate}; {snapshots}", err=True)


def _time(name: str, text: str) -> int:
    since_ms = parse_selection(from_=text).since_ms
    if since_ms is None:
        raise RequestRefused(f"--{name} {text}: expected a time with its zone, such as 2026-11-23T10:00:00Z")
    return since_ms * 1000


class _Told:
    """Prints what rules say as it comes."""

    def __init__(self, *, as_json: bool, points: bool) -> None:
        self._as_json = as_json
        self._points = points
        self.fired = 0

    def take(self, transitions: Sequence[Transition], points: Sequence[WindowPoint]) -> None:
        for each in transitions:
            self.fired += each.state == "firing"
            if self._as_json:
                click.echo(json.dumps({"kind": "alert", **transition_json(each)}))
            elif each.state != "still_firing":
                click.echo(line_of(each))
        for point in points if self._points and self._as_json else ():
            click.echo(json.dumps({"kind": "point", **asdict(point)}))


def line_of(transition: Transition) -> str:
    """Return a transition as one line for people."""
    moment = datetime.fromtimestamp(transition.window_end_us / 1e6, UTC)
    labels = "".join(f" {name}={safe_line(value)}" for name, value in transition.labels.items())
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} {transition.state:<8} {transition.rule}{labels}: {transition.message}"
