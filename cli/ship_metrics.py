"""The metrics of `headrace ship`. docs/metrics.md has the same list. Light: it loads neither pyarrow nor boto3."""

from headrace.archiver.metric import Metric
from headrace.producer.spool.shipping import ShipReadings

SHIP_METRICS: tuple[Metric[ShipReadings], ...] = (
    Metric("headrace_ship_delivered", "counter", (), "Events that Kafka acknowledged.", lambda r: {(): r.delivered}),
    Metric(
        "headrace_ship_lost",
        "counter",
        ("reason",),
        "Events that could not be delivered, or were put aside, by reason.",
        lambda r: {(reason,): count for reason, count in r.lost.items()},
    ),
    Metric(
        "headrace_ship_restarts",
        "counter",
        (),
        "How often delivery failed and began again with a new Kafka producer.",
        lambda r: {(): r.restarts},
    ),
    Metric(
        "headrace_ship_waiting",
        "gauge",
        (),
        "Events that were read from the spool and are not acknowledged.",
        lambda r: {(): r.waiting},
    ),
    Metric("headrace_ship_waiting_bytes", "gauge", (), "Their bytes.", lambda r: {(): r.waiting_bytes}),
    Metric(
        "headrace_ship_oldest_waiting_seconds",
        "gauge",
        (),
        "How long ago the oldest of them was emitted; 0 when none waits.",
        lambda r: {(): r.oldest_waiting_s},
    ),
    Metric(
        "headrace_ship_folders", "gauge", (), "Processes whose folders are delivered now.", lambda r: {(): r.folders}
    ),
    Metric("headrace_ship_kafka_up", "gauge", (), "0 while Kafka fails, 1 otherwise.", lambda r: {(): not r.away}),
)
