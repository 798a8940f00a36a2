"""The rules on the page of `headrace dashboard`: what a monitor wrote, or serves, as one JSON object for the page.

Names of rules, values of the fields that they group by, numbers, and the rules' messages: whoever may see the page sees
these. All of it is text there, whatever is in it.
"""

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.monitor.alerts_charts import Charts, RuleChart, Series, read_charts
from headrace.monitor.alerts_event import finite
from headrace.monitor.alerts_http import Endpoint, endpoint

from .dashboard_data import safe_value

VERSION = 1
ANSWER_BYTES_MAX = 8 << 20
ANSWER_S = 3.0

Source = Callable[[], bytes]


def no_monitor() -> bytes:
    """Return what the page gets where no monitor was named: it shows nothing of rules."""
    return charts_json(None, 0)


def monitor_source(place: str) -> Source:
    """Return what reads a monitor's charts: a file's path, or the address of `/charts.json`. Raises ValueError."""
    if place.startswith(("http://", "https://")):
        at = endpoint("--monitor", place)
        return lambda: _asked(at)
    path = Path(place)
    return lambda: charts_json(read_charts(path), time.time_ns() // 1_000_000)


def charts_json(charts: Charts | None, at_ms: int) -> bytes:
    """Return what the page asks for; `at_ms` is now. None: there is no monitor to tell of."""
    found = charts or Charts("missing")
    value = {
        "version": VERSION,
        "at_ms": at_ms,
        "state": found.state if charts else "off",
        "problem": found.problem,
        "written_ms": found.written_ms,
        "rules": [_rule(each) for each in found.rules],
    }
    return json.dumps(safe_value(value), separators=(",", ":"), allow_nan=False).encode()


def _rule(chart: RuleChart) -> dict[str, Any]:
    return {
        "rule": chart.rule,
        "severity": chart.severity,
        "about": chart.about,
        "groups": chart.groups,
        "series": [_series(each) for each in chart.series],
    }


def _series(series: Series) -> dict[str, Any]:
    return {
        "group": ", ".join(f"{name} {value}" for name, value in series.labels.items()),
        "firing": series.firing,
        "points": [(at_ms, *(_short(each) for each in numbers), fires) for at_ms, *numbers, fires in series.points],
        "marks": series.marks,
    }


def _short(value: Any) -> float | None:
    """Return a number as a chart needs it."""
    return None if value is None else finite(float(f"{value:.5g}"))


def _asked(at: Endpoint) -> bytes:
    """Ask a monitor's process; what it says is passed on if it is an object of this version."""
    kind = http.client.HTTPSConnection if at.tls else http.client.HTTPConnection
    connection = kind(at.host, at.port, timeout=ANSWER_S)
    try:
        connection.request("GET", at.path)
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX + 1)
        if answer.status != http.client.OK:
            raise ValueError(f"it answered {answer.status}")
        value = json.loads(body[:ANSWER_BYTES_MAX])
        if not isinstance(value, dict) or value.get("version") != VERSION:
            raise ValueError("its answer is not a monitor's of this version")
        return json.dumps(safe_value(value), separators=(",", ":"), allow_nan=False).encode()
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        reason = f"{at.shown}: {type(error).__name__}: {error}"
        return charts_json(Charts("unreadable", reason), time.time_ns() // 1_000_000)
    finally:
        connection.close()
