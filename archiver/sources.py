"""Which Source a worker reads with: record batches, or librdkafka's messages.

Record batches cost a fraction, but are fetched here, over connections made here: where these would not do what the
settings say, librdkafka reads, and the log says why.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .batch_source import BatchSource
from .broker_connection import BrokerConnection, brokers_of, tls_of
from .broker_login import unsupported
from .clock import Clock
from .fetch_protocol import ProtocolError
from .kafka_source import POLL_BYTES, KafkaSource
from .source import Assignee


def make_source(
    reading: str,
    config: Mapping[str, Any],
    topics: Sequence[str],
    assignee: Assignee,
    *,
    clock: Clock,
    warn: Callable[[str], None],
    random_bytes: Callable[[int], bytes],
    poll_bytes: int = POLL_BYTES,
) -> KafkaSource:
    """Return what reads as `reading` (READINGS) says, or what reads messages where batches can't be had.

    `random_bytes(n)` gives n bytes that nobody can guess, for logging in.
    """
    reason = None if reading == "messages" else obstacle(config, random_bytes)
    if reason is not None:
        warn(f"reading single messages, not record batches, which costs more: {reason}")
    if reading == "messages" or reason is not None:
        return KafkaSource(config, topics, assignee, clock=clock, warn=warn, poll_bytes=poll_bytes)
    return BatchSource(
        config, topics, assignee, clock=clock, warn=warn, poll_bytes=poll_bytes, random_bytes=random_bytes
    )


def obstacle(config: Mapping[str, Any], random_bytes: Callable[[int], bytes]) -> str | None:
    """Return why batches cannot be fetched with these settings, by trying to connect; None where they can.

    A broker that does not answer is none: it is tried again.
    """
    if (name := unsupported(config)) is not None:
        return f"{name} is only known to librdkafka"
    try:
        context = tls_of(config)
        for broker in brokers_of(str(config["bootstrap.servers"])):
            try:
                BrokerConnection(broker, config, context=context, random_bytes=random_bytes).close()
            except (ssl.SSLError, ProtocolError, ValueError) as error:
                return f"{broker.host}:{broker.port}: {error}"
            except OSError:
                continue
            else:
                return None
    except (OSError, ValueError) as error:
        return f"the TLS settings: {error}"
    return None
