"""Events with personal fields that are replaced by keyed hashes before anything else gets to see them.

A field labelled `"headrace.pii": "hmac"` keeps its raw value in the event object, which is the app's own, until the
event log asks for with_tokens(): the same event with tokens in these fields. Only that one has a key and a value for
Kafka. Labelled `"drop"`, a value is checked and forgotten in the constructor. repr() shows neither.
"""

from collections.abc import Callable
from typing import Any

from .event import Envelope, Event

Token = Callable[[bytes], str]


class PersonalEvent(Event):
    """Base of event types that have fields labelled `hmac`; generated classes name these in HMAC."""

    __slots__ = ("_has_tokens",)
    _has_tokens: bool

    def with_tokens(self, token: Token) -> "PersonalEvent":
        """Return this event with `token(raw value)` in each field of HMAC that is not null.

        What `token` raises when it has no key is passed on. A protected event is returned as it is.
        """
        if self._has_tokens:
            return self
        fields = self.as_dict()
        for name in self.HMAC:
            value = fields[name]
            if isinstance(value, str):
                fields[name] = token(value.encode())
            elif value is not None:
                fields[name] = token(value).encode()
        return _remake(type(self), fields, has_tokens=True)

    @property
    def has_tokens(self) -> bool:
        """Whether the personal fields hold tokens."""
        return self._has_tokens

    def kafka_value(
        self, envelope: Envelope, event_id: bytes, seq: int, occurred_at_us: int, trace_id: bytes | None
    ) -> bytes:
        """Return the framed value of a protected event, as Event does; raise TypeError for one that is not."""
        self._need_tokens()
        return super().kafka_value(envelope, event_id, seq, occurred_at_us, trace_id)

    def _need_tokens(self) -> None:
        if not self._has_tokens:
            raise TypeError(f"{self.TYPE}: {', '.join(self.HMAC)} must be protected first, which emit() does")

    def __repr__(self) -> str:
        inside = ", ".join(
            f"{name}=<personal>"
            if name in self.HMAC and value is not None and not self._has_tokens
            else f"{name}={value!r}"
            for name, value in self.as_dict().items()
        )
        return f"{type(self).__name__}({inside})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self.as_dict(), self._has_tokens)


set_has_tokens: Callable[[PersonalEvent, bool], None] = PersonalEvent.__dict__["_has_tokens"].__set__


def _remake(cls: type[PersonalEvent], fields: dict[str, Any], has_tokens: bool) -> PersonalEvent:
    """Make an event of fields that are tokens already, when `protected`."""
    made = cls(**fields)
    set_has_tokens(made, has_tokens)
    return made
