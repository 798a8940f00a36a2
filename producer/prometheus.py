"""Prometheus: export(log) puts an event log's metrics where the app's own are scraped. Needs `headrace[metrics]`.

Two ways, as prometheus_client has them. In one process a collector reads the log when it is scraped. In multiprocess
mode (PROMETHEUS_MULTIPROC_DIR, for prefork servers) each process keeps its values in a mapped file, written once a
second by the reporter's thread, and any process that is scraped adds the files up: counters of dead processes too.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, values
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from . import forks
from .metric_list import METRICS, PREFIX, Metric
from .readings import Readings, Sink

_ACROSS: Mapping[str, Literal["livesum", "livemax", "livemin"]] = {"sum": "livesum", "max": "livemax", "min": "livemin"}


class Log(Protocol):
    """What is exported: an EventLog, or anything else that has readings."""

    def readings(self) -> Readings:
        """Return what the instruments show now."""

    def report_to(self, sink: Sink) -> None:
        """Give a sink the readings once a second."""


def export(log: Log, registry: CollectorRegistry = REGISTRY) -> None:
    """Export a log's metrics: in a registry, or in multiprocess mode in the files that are scraped.

    Call it once, where the log is made. Raises ValueError when the registry has these metrics already.
    """
    if values.ValueClass._multiprocess:
        log.report_to(ProcessFiles())
    else:
        registry.register(ReadingsCollector(log.readings))


class ReadingsCollector:
    """A collector for a registry; `readings` is called at each scrape."""

    def __init__(self, readings: Callable[[], Readings]) -> None:
        self._readings = readings

    def describe(self) -> Iterator[Family]:
        """Yield the metrics without values: the registry looks for names that are taken."""
        for metric in METRICS:
            yield _family(metric)

    def collect(self) -> Iterator[Family]:
        """Yield the metrics with the values of now."""
        readings = self._readings()
        for metric in METRICS:
            family = _family(metric)
            for labels, value in metric.values(readings).items():
                family.add_metric(labels, value)
            yield family


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return made(PREFIX + metric.name, metric.text, labels=metric.labels)


class ProcessFiles:
    """A sink for multiprocess mode. Counters are only ever added to, so that the files of dead processes stay true.

    A process that ends in order leaves its gauges at rest; for those that are killed the server's hook has to call
    prometheus_client.multiprocess.mark_process_dead.
    """

    def __init__(self) -> None:
        self._counters = {m.name: Counter(PREFIX + m.name, m.text, m.labels, registry=None) for m in _of("counter")}
        self._gauges = {
            m.name: Gauge(PREFIX + m.name, m.text, m.labels, registry=None, multiprocess_mode=_ACROSS[m.across])
            for m in _of("gauge")
        }
        self._generation = forks.generation()
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}
        self._lock = threading.Lock()

    def report(self, readings: Readings, *, last: bool) -> None:
        """Write what changed into this process's files."""
        if self._generation != forks.generation():
            # Forked: what the parent told is in the parent's files. The lock may have been held by its thread.
            self._generation, self._told, self._lock = forks.generation(), {}, threading.Lock()
        with self._lock:
            for metric in METRICS:
                for labels, value in metric.values(readings).items():
                    if metric.kind == "counter":
                        self._add(metric.name, labels, value)
                    else:
                        gauge = self._gauges[metric.name]
                        (gauge.labels(*labels) if labels else gauge).set(metric.at_rest if last else value)

    def _add(self, name: str, labels: tuple[str, ...], value: float) -> None:
        more = value - self._told.get((name, labels), 0.0)
        if more > 0:
            counter = self._counters[name]
            (counter.labels(*labels) if labels else counter).inc(more)
            self._told[name, labels] = value


def _of(kind: str) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind == kind]
