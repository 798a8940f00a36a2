"""Pin events for the seeds that run the full codec."""

from headrace.schemas.event import Envelope
from headrace.schemas.events import Pin

_ENVELOPE = Envelope(service="web", host="h1", session_id=b"s" * 16)


def pin_value(number: int, at_ms: int) -> bytes:
    """Return the value of a pin event, the same for the same arguments."""
    event = Pin(user_id=number, pin_id=number * 7, action="SAVE")
    return event.kafka_value(_ENVELOPE, number.to_bytes(16, "big"), number + 1, at_ms * 1000, None)
