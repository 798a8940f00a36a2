"""docs/metrics.md and the code have the same metrics: none is missing, none is left over."""

import re

import pytest

from headrace.archiver.metric import Metric
from headrace.archiver.oncall.metric_list import LAG_METRICS
from headrace.archiver.tallies import ARCHIVER_METRICS
from headrace.cli.ship_metrics import SHIP_METRICS
from headrace.monitor.alerts_metrics import MONITOR_METRICS
from house.tree import ROOT

ROW = re.compile(r"^\| `(headrace_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| (.*) \|$", re.MULTILINE)


def documented(heading: str) -> list[tuple[str, tuple[str, ...], str, str]]:
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page.split(f"## What {heading} serves\n")[1].split("\n## ")[0]
    return [
        (name, tuple(filter(None, labels.split(","))), kind, text) for name, labels, kind, text in ROW.findall(section)
    ]


@pytest.mark.parametrize(
    ("heading", "metrics"),
    [
        ("`headrace exporter`", LAG_METRICS),
        ("`headrace archive --metrics`", ARCHIVER_METRICS),
        ("`headrace ship --metrics`", SHIP_METRICS),
        ("a monitor", MONITOR_METRICS),
    ],
)
def test_the_page_has_the_list(heading: str, metrics: tuple[Metric[object], ...]) -> None:
    """Names, labels, kinds and meanings, in the same order."""
    assert documented(heading) == [(m.exported_as, m.labels, m.kind, m.text.rstrip(".")) for m in metrics]


def test_every_metric_name_on_the_page_is_in_the_lists() -> None:
    """Nothing else on the page looks like a metric."""
    lists = (LAG_METRICS, ARCHIVER_METRICS, SHIP_METRICS, MONITOR_METRICS)
    names = {m.exported_as for metrics in lists for m in metrics}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"\bheadrace_(?!producer)\w+", page)) == names
