"""Ships a process's events from the process itself. The one way by which an event log loads the Kafka client."""

from collections.abc import Callable, Mapping
from typing import Any

from .greenlets import patched_by
from .kafka_settings import IN_FLIGHT_RECORDS_MAX, connect, producer_config
from .letter import Letter
from .queues import Queue
from .shipper import ProducerFactory, Shipper

MakeShipper = Callable[[Queue, Callable[[Letter], None]], Shipper]


def shipper_maker(
    service: str,
    kafka: str,
    kafka_config: Mapping[str, Any],
    make_producer: ProducerFactory | None,
    monotonic: Callable[[], float],
) -> MakeShipper:
    """Return what makes a shipper for a queue; raise ValueError where greenlets have replaced threads."""
    greenlets = patched_by()
    if greenlets is not None:
        raise ValueError(
            f"{greenlets} has replaced this process's threads, and shipping to Kafka from here needs real ones. Leave "
            f"the shipping to another process: EventLog(service=..., spool=DIR, ship='separate'), or HEADRACE_SHIP="
            f"separate and HEADRACE_SPOOL, and run `headrace ship DIR --kafka ...` beside the app. Or run the app with "
            f"threads or processes (gunicorn: --worker-class gthread), or patch without threads (thread=False)"
        )
    config = producer_config(service, kafka) | dict(kafka_config)

    def make(queue: Queue, on_refused: Callable[[Letter], None]) -> Shipper:
        return Shipper(
            queue=queue,
            config=config,
            make_producer=make_producer or connect,
            on_refused=on_refused,
            in_flight_records_max=IN_FLIGHT_RECORDS_MAX,
            monotonic=monotonic,
        )

    return make
