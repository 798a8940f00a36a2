"""Gives a list of metrics to a Prometheus registry. Needs `headrace[metrics]`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from headrace.schemas.safe_text import safe_line

from .metric import Metric, T


class ListCollector(Generic[T]):
    """Collects a list of metrics; `source` is called at each scrape."""

    def __init__(self, metrics: Sequence[Metric[T]], source: Callable[[], T]) -> None:
        self._metrics = metrics
        self._source = source

    def describe(self) -> Iterator[Family]:
        """Yield the metrics without values: the registry looks for names that are taken."""
        for metric in self._metrics:
            yield _family(metric)

    def collect(self) -> Iterator[Family]:
        """Yield the metrics with the values of now."""
        value = self._source()
        for metric in self._metrics:
            family = _family(metric)
            for labels, number in metric.read(value).items():
                family.add_metric([safe_line(label) for label in labels], number)
            yield family


def _family(metric: Metric[T]) -> CounterMetricFamily | GaugeMetricFamily:
    made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return made(metric.name, metric.text, labels=metric.labels)


def exposition(registry: CollectorRegistry) -> bytes:
    """Return what a scrape gets: Prometheus's text format."""
    return generate_latest(registry)


def exposed(metrics: Sequence[Metric[T]], source: Callable[[], T]) -> Callable[[], bytes]:
    """Return a function that gives the exposition of a list of metrics, from a registry of its own."""
    registry = CollectorRegistry()
    registry.register(ListCollector(metrics, source))
    return lambda: exposition(registry)
