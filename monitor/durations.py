"""Lengths of time as rules write them: "90s", "5m", "1h", "14d"; microseconds inside."""

import re

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
_UNITS = {"s": SECOND_US, "m": 60 * SECOND_US, "h": HOUR_US, "d": DAY_US}
_FORM = re.compile(r"(\d{1,6})([smhd])")


def microseconds(text: object) -> int:
    """Return the length that is written: a whole number of seconds, minutes, hours or days. Raises ValueError."""
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError('must be a length of time such as "90s", "5m", "1h" or "14d"')
    return int(found[1]) * _UNITS[found[2]]


def written(length_us: int) -> str:
    """Return a length in the largest unit that divides it."""
    unit = next(name for name in ("d", "h", "m", "s") if length_us % _UNITS[name] == 0)
    return f"{length_us // _UNITS[unit]}{unit}"
