"""Assertions on what a RecordingLog logged. A failure lists what was logged, and where it differs."""

from typing import Any

from headrace.schemas.event import Event

from .expected import Expected, expectation, shown
from .recording_log import Logged, RecordingLog

_SHOWN_MAX = 50


def assert_logged(
    log: RecordingLog, expected: Event | type[Event] | Expected, /, *, count: int | None = None, **fields: Any
) -> list[Event]:
    """Assert that an event was logged, among others; return those that match, oldest first.

    `assert_logged(log, Pin, user_id=7)`: at least one such event; with `count=2` exactly two, with 0 none.
    Fields may be those of the envelope too: `service="web"`.
    """
    wanted = expectation(expected, fields)
    found = [each for each in log.logged if wanted.matches(each, log.token)]
    if len(found) == count or (count is None and found):
        return [each.event for each in found]
    if count is None:
        problem = f"no {wanted} was logged"
    else:
        problem = f"{wanted} was logged {_times(len(found))}, expected {_times(count)}"
    raise AssertionError("\n".join([problem, *_closest(log, wanted, found), *_listing(log.logged)]))


def assert_logged_exactly(log: RecordingLog, /, *expected: Event | type[Event] | Expected) -> None:
    """Assert that these events were logged, in this order, and nothing else."""
    wanted = [expectation(each) for each in expected]
    pairs = _aligned(wanted, log)
    if len(pairs) == len(wanted) == len(log.logged):
        return
    lines = [
        f"expected exactly {_events(len(wanted))}, logged {_events(len(log.logged))}; - is missing, + is too much:"
    ]
    at, also_at = 0, 0
    for index, logged_index in [*pairs, (len(wanted), len(log.logged))]:
        missing, extra = wanted[at:index], log.logged[also_at:logged_index]
        lines += [f"  - {each}" for each in missing]
        lines += [f"  + {shown(each.event)}" for each in extra]
        if len(missing) == len(extra) == 1 and missing[0].cls is type(extra[0].event):
            lines += [f"      {each}" for each in missing[0].differences(extra[0], log.token)]
        if index < len(wanted):
            lines.append(f"    {shown(log.logged[logged_index].event)}")
        at, also_at = index + 1, logged_index + 1
    raise AssertionError("\n".join(lines))


def assert_nothing_logged(log: RecordingLog, /) -> None:
    """Assert that nothing was logged at all."""
    assert_logged_exactly(log)


def _aligned(wanted: list[Expected], log: RecordingLog) -> list[tuple[int, int]]:
    """Return the most (expected, logged) pairs that match, in order: the longest common subsequence."""
    logged = log.logged
    best = [[0] * (len(logged) + 1) for _ in range(len(wanted) + 1)]
    same = [[each.matches(other, log.token) for other in logged] for each in wanted]
    for row in range(len(wanted) - 1, -1, -1):
        for column in range(len(logged) - 1, -1, -1):
            if same[row][column]:
                best[row][column] = best[row + 1][column + 1] + 1
            else:
                best[row][column] = max(best[row + 1][column], best[row][column + 1])
    pairs = []
    row = column = 0
    while row < len(wanted) and column < len(logged):
        if same[row][column]:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif best[row + 1][column] >= best[row][column + 1]:
            row += 1
        else:
            column += 1
    return pairs


def _closest(log: RecordingLog, wanted: Expected, found: list[Logged]) -> list[str]:
    """Say in what the events of the same type that come closest differ."""
    if found:
        return []
    differing = [(wanted.differences(each, log.token), each) for each in log.logged if type(each.event) is wanted.cls]
    if not differing:
        return []
    differences, each = min(differing, key=lambda pair: len(pair[0]))
    return [f"closest is {shown(each.event)}:", *(f"  {line}" for line in differences)]


def _listing(logged: list[Logged]) -> list[str]:
    if not logged:
        return ["nothing was logged"]
    lines = [f"logged, {_events(len(logged))}:", *(f"  {shown(each.event)}" for each in logged[:_SHOWN_MAX])]
    left = len(logged) - _SHOWN_MAX
    return [*lines, f"  and {left} more"] if left > 0 else lines


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"
