"""The ready rules over a simulated week with a daily rhythm: silent while nothing happens, and quick when it does.

Counts are drawn hop by hop (Poisson, fixed seed) and given to the production evaluator as cells.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from monitor_kit import DAY, T0, S

from headrace.monitor.evaluator import Evaluator
from headrace.monitor.measuring import Cell, CellKey
from headrace.monitor.partial import Partial
from headrace.monitor.rules import Group, Rule
from headrace.monitor.rules_file import READY, read_rules
from headrace.monitor.transition import Transition

RULES = {each.name: each for each in read_rules(READY)}
WEEK = 7 * DAY
INCIDENT_US = T0 + WEEK + 10 * 3600 * S + 2_500_000  # on the eighth day, at ten, in the middle of a hop
LASTS_S = 300
TOLD_AFTER_S = 4.0
"""What a live run adds at its defaults: the clock's settling (1 s), the next look (1 s), two checkpoints (1 s)."""
KNOWN = ("KeyError", "TimeoutError", "OSError")

# rate(seconds of the day) -> events a second: matched, and among; by group
Rates = Callable[[float], dict[Group, tuple[float, float]]]


def rhythm(second: float) -> float:
    """Half as much at night as in the middle, one and a half times as much at noon."""
    return 1.0 - 0.5 * math.cos(2 * math.pi * second / 86_400)


NORMAL: dict[str, Rates] = {
    "failed_logins": lambda s: {(): (0.5 * rhythm(s), 5 * rhythm(s))},
    "feed_loads": lambda s: {(): (20 * rhythm(s), 20 * rhythm(s))},
    "error_rate": lambda s: {(): (0.3 * rhythm(s), 0.3 * rhythm(s))},
    "new_error": lambda s: {(each, each): (0.1 * rhythm(s), 0.1 * rhythm(s)) for each in KNOWN},
    "pin_rate": lambda s: {(): (50 * rhythm(s), 50 * rhythm(s))},
}
INCIDENTS: dict[str, tuple[str, Rates]] = {
    "an attack on log-in": ("failed_logins", lambda s: {(): (50 + 0.5 * rhythm(s), 50 + 5 * rhythm(s))}),
    "feeds are out": ("feed_loads", lambda _s: {(): (0.0, 0.0)}),
    "errors in a burst": ("error_rate", lambda _s: {(): (10.0, 10.0)}),
    "a new exception": ("new_error", lambda _s: {("ZeroDivisionError", "ZeroDivisionError"): (2.0, 2.0)}),
    "half of the pins are gone": ("pin_rate", lambda s: {(): (15 * rhythm(s), 15 * rhythm(s))}),
}


def hours(rule: Rule, start_us: int, end_us: int, rates: Rates, seed: int) -> Iterator[dict[CellKey, Cell]]:
    """Yield what came in each hour, as cells."""
    chosen = np.random.default_rng(seed)
    hop_us = rule.hop_us
    for hour_us in range(start_us, end_us, 3600 * S):
        starts = range(hour_us, min(hour_us + 3600 * S, end_us), hop_us)
        cells: dict[CellKey, Cell] = {}
        # The rate changes little within an hour's quarter.
        for quarter in range(0, len(starts), max(1, len(starts) // 4)):
            own = starts[quarter : quarter + max(1, len(starts) // 4)]
            for group, (matched, among) in rates((own[0] - T0) % DAY / S).items():
                yes = chosen.poisson(matched * hop_us / S, len(own)).tolist()
                no = chosen.poisson(max(0.0, among - matched) * hop_us / S, len(own)).tolist()
                for start_us_, m, n in zip(own, yes, no, strict=True):
                    if m + n:
                        cells[CellKey(start_us_, group)] = Cell(m, m + n)
        yield cells


def feed(evaluator: Evaluator, start_us: int, end_us: int, rates: Rates, seed: int) -> list[Transition]:
    """Read a stretch of time to its end and the grace after it."""
    rule, told = evaluator.rule, []
    reached_us = start_us
    for cells in hours(rule, start_us, end_us, rates, seed):
        reached_us = min(reached_us + 3600 * S, end_us)
        evaluator.merge(Partial(rule.name, rule.definition, 0, 1, reached_us, cells))
        told += evaluator.close().transitions
    return told


@pytest.mark.parametrize("name", NORMAL)
def test_a_week_without_incidents_is_silent_and_the_next_day_is_not(name: str) -> None:
    """Not one false alert in seven days; then the rule's incident is told within 15 s, and resolved when it is over."""
    rule, normal = RULES[name], NORMAL[name]
    incident = next(rates for of, rates in INCIDENTS.values() if of == name)
    evaluator = Evaluator(rule, origin_us=T0)
    assert feed(evaluator, T0, T0 + WEEK, normal, 1) == []
    hop_us = rule.hop_us
    begins_us = INCIDENT_US // hop_us * hop_us + hop_us  # the first whole hop of it; its first event came before
    assert feed(evaluator, T0 + WEEK, begins_us, normal, 2) == []
    during = feed(evaluator, begins_us, begins_us + LASTS_S * S, incident, 3)
    after = feed(evaluator, begins_us + LASTS_S * S, begins_us + 1800 * S, normal, 4)
    told = [*during, *after]
    assert [each.state for each in told if each.state != "still_firing"] == ["firing", "resolved"]
    first, last = told[0], told[-1]
    seconds = (first.at_us - (begins_us - hop_us)) / S + TOLD_AFTER_S
    over = (last.at_us - begins_us) / S - LASTS_S
    print(f"{name}: told {seconds:.1f} s after the first event, resolved {over:.0f} s after the last")
    # Half of the pins is no sudden thing in a window of a minute, and must hold for ten seconds.
    assert seconds <= (60 if name == "pin_rate" else 15)
    assert over <= 120
