"""The text of an alert, from the rule's template. Its placeholders are known beforehand, so that none fails later."""

import string
from collections.abc import Mapping

from headrace.schemas.safe_text import safe_line

from .durations import written
from .rules import Rule

NAMES = ("rule", "value", "percent", "expected_low", "expected_high", "window", "severity")
MESSAGE_CHARS_MAX = 1_000


def check(template: str, group_by: tuple[str, ...]) -> None:
    """Refuse a template that could not be filled. Raises ValueError."""
    allowed = {*NAMES, *group_by}
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"is no template: {error}; braces that stand for themselves are doubled") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in allowed or form or conversion):
            raise ValueError(f"has {{{name}}}: placeholders are {', '.join(f'{{{each}}}' for each in sorted(allowed))}")


def message(rule: Rule, labels: Mapping[str, str], value: float, expected: tuple[float, float] | None) -> str:
    """Return the alert's text; what came from events is made safe to print."""
    low, high = expected or (None, None)
    known = {
        "rule": rule.name,
        "value": _number(value),
        "percent": f"{100 * value:.1f} %",
        "expected_low": "unknown" if low is None else _number(low),
        "expected_high": "unknown" if high is None else _number(high),
        "window": written(rule.window_us),
        "severity": rule.severity,
    }
    return rule.message.format(**{name: safe_line(each) for name, each in labels.items()} | known)[:MESSAGE_CHARS_MAX]


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"
