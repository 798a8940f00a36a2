"""How `headrace lag` looks: topics folded, partitions, findings, explanations. Text out of judgements; asks nobody."""

import shlex
from collections.abc import Iterator, Sequence

import click

from headrace.archiver.oncall.finding import Finding, spoken
from headrace.archiver.oncall.heartbeat import SILENT_S
from headrace.archiver.oncall.lag import PartitionLag, by_topic, oldest_s, records_behind, soonest_loss_s
from headrace.archiver.oncall.status import Status
from headrace.replay.errors import RequestRefused
from headrace.schemas.safe_text import safe_line

from .tables import table

TOPIC_HEADINGS = ("topic", "state", "partitions", "behind", "age", "loss in", "caught up", "workers", "note")
HEADINGS = (
    *("topic", "partition", "state", "behind", "age", "loss in", "caught up"),
    *("start", "taken", "durable", "committed", "end", "worker", "note"),
)
RIGHT = {"partitions", "behind", "partition", "start", "taken", "durable", "committed", "end"}
_COLOURS = {"behind": "yellow", "not-archived": "yellow", "unknown": "magenta", "caught-up": "green"}
_FINDINGS_SHOWN = 10


def show(status: Status, *, verbose: bool) -> None:
    """Print the table for people, what was found below it, and what could not be asked on standard error."""
    for problem in status.unanswered:
        click.secho(f"not answered: {plain(problem)}", err=True, fg="magenta")
    if not status.lags:
        click.echo(f"the archive at {status.archive} has no topics, and Kafka has none of the event types", err=True)
    for line in lines(status.lags, status.findings, verbose=verbose) if status.lags or status.findings else ():
        click.echo(line)


def lines(lags: Sequence[PartitionLag], found: Sequence[Finding], *, verbose: bool) -> Iterator[str]:
    """Yield the table, its sum, and the findings, coloured."""
    bad = {(each.topic, each.partition) for each in found if each.severity == "critical"}
    bad_topics = {topic for topic, _ in bad}
    if verbose:
        rows = [HEADINGS, *(_partition_row(each) for each in lags)]
        colours = [None, *("red" if each.facts.where in bad else _COLOURS.get(each.state) for each in lags)]
    else:
        folded = list(by_topic(lags).items())
        rows = [TOPIC_HEADINGS, *(topic_row(topic, each) for topic, each in folded)]
        colours = [None, *("red" if name in bad_topics else _COLOURS.get(each[0].state) for name, each in folded)]
    for line, colour in zip(table(rows, RIGHT), colours, strict=True):
        yield click.style(line, fg=colour) if colour else click.style(line, bold=True)
    unsure = sum(each.records_behind is None for each in lags)
    tail = f"; {unsure} partitions unknown" if unsure else ""
    topics = len({each.facts.where.topic for each in lags})
    yield f"{records_behind(lags):,} records behind in {len(lags)} partitions of {topics} topics{tail}"
    for each in found[:_FINDINGS_SHOWN]:
        yield click.style(f"{each.severity}: {plain(each.where)} {each.rule}: {plain(each.evidence)}", fg=_colour(each))
    if len(found) > _FINDINGS_SHOWN:
        yield f"and {len(found) - _FINDINGS_SHOWN} more; --json lists all"
    if found:
        yield f"what to do: headrace lag --explain {shlex.quote(plain(found[0].where))}"


def explanation(lags: Sequence[PartitionLag], found: Sequence[Finding], where: str) -> Iterator[str]:
    """Yield what is to be said about a topic or a partition. Raises RequestRefused for one that is not there."""
    topic, _, number = where.partition("/")
    if number and not number.isdecimal():
        raise RequestRefused(f"--explain {where}: write it as TOPIC or TOPIC/PARTITION, such as pin/3")
    if where == "archive" and any(not each.topic for each in found):
        for each in found:
            if not each.topic:
                yield from _told(each)
        return
    wanted = [lag for lag in lags if lag.facts.where.topic == topic and number in ("", str(lag.facts.where.partition))]
    if not wanted:
        raise RequestRefused(f"--explain {where}: there is no such partition")
    places = {lag.facts.where for lag in wanted}
    about = [
        each
        for each in found
        if (each.topic, each.partition) in places or (each.partition is None and each.topic == topic)
    ]
    for lag in wanted if number else ():
        yield from _positions(lag)
    if not about:
        yield f"no rule has anything to say about {where}"
    for each in about:
        yield from _told(each)


def _told(each: Finding) -> Iterator[str]:
    yield ""
    yield click.style(f"{each.severity}: {each.rule} ({plain(each.where)})", fg=_colour(each))
    yield f"  evidence  {plain(each.evidence)}"
    yield f"  next      {each.step}"
    for command in each.commands:
        yield f"            $ {safe_line(command)}"
    yield f"  runbook   docs/runbook/{each.rule}.md"


def topic_row(topic: str, lags: Sequence[PartitionLag]) -> tuple[str, ...]:
    """Return a topic's line: its worst partition's state, sums, and the extremes of the rest."""
    worst = lags[0]
    waiting = [each for each in lags if each.waiting]
    unknown_age = any(each.seconds_behind is None for each in waiting)
    slowest = max(waiting, key=_arrival_order) if waiting else worst
    oldest, loss_s = oldest_s(lags), soonest_loss_s(lags)
    workers = {beat.worker for each in lags if (beat := each.facts.heartbeat) is not None and not _is_silent(each)}
    return (
        plain(topic),
        worst.state,
        f"{len(waiting)} of {len(lags)}" if waiting else str(len(lags)),
        f"{records_behind(lags):,}",
        spoken(oldest) if oldest else "?" if unknown_age or worst.state == "unknown" else "-",
        "-" if loss_s is None else spoken(loss_s),
        caught_up(slowest) if waiting else "-",
        str(len(workers)) if workers else "none",
        plain(worst.note),
    )


def _partition_row(lag: PartitionLag) -> tuple[str, ...]:
    ends, beat = lag.facts.ends, lag.facts.heartbeat
    return (
        plain(lag.facts.where.topic),
        str(lag.facts.where.partition),
        lag.state,
        _number(lag.records_behind),
        "?" if lag.seconds_behind is None else spoken(lag.seconds_behind) if lag.seconds_behind else "-",
        "-" if lag.loss.seconds is None else spoken(lag.loss.seconds),
        caught_up(lag),
        _number(None if ends is None else ends.log_start),
        _number(None if beat is None else beat.taken, "-"),
        _number(lag.facts.durable, "-"),
        _number(lag.facts.committed, "-"),
        _number(None if ends is None else ends.last_stable),
        "-" if beat is None else f"{beat.worker} (silent)" if _is_silent(lag) else beat.worker,
        plain(lag.note),
    )


def caught_up(lag: PartitionLag) -> str:
    """Say when a partition will have caught up."""
    if lag.catch_up.when == "in" and lag.catch_up.seconds is not None:
        return f"in {spoken(lag.catch_up.seconds)}"
    return {"done": "-", "never": "never", "unknown": "?", "in": "?"}[lag.catch_up.when]


def plain(text: str) -> str:
    """Make text safe for a terminal: no control characters, whoever named the topic or wrote the error."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _positions(lag: PartitionLag) -> Iterator[str]:
    heads, values = HEADINGS, _partition_row(lag)
    for head, value in zip(heads, values, strict=True):
        yield f"{head:<10}  {value}"


def _arrival_order(lag: PartitionLag) -> tuple[int, float]:
    return {"done": 0, "in": 1, "unknown": 2, "never": 3}[lag.catch_up.when], lag.catch_up.seconds or 0.0


def _is_silent(lag: PartitionLag) -> bool:
    return lag.beat_age_s is not None and lag.beat_age_s > SILENT_S


def _colour(finding: Finding) -> str:
    return "red" if finding.severity == "critical" else "yellow"


def _number(value: int | None, missing: str = "?") -> str:
    return missing if value is None else str(value)
