"""Event types: Avro schemas as the source of truth, typed classes made from them, the codec, the evolution rules."""

from .errors import DecodeError, InvalidEvent, SchemaError, UnknownFingerprint
from .event import Event
from .events import Error, FeedLoad, Follow, Login, Pin

__all__ = [
    "DecodeError",
    "Error",
    "Event",
    "FeedLoad",
    "Follow",
    "InvalidEvent",
    "Login",
    "Pin",
    "SchemaError",
    "UnknownFingerprint",
]
