"""What a test expects of one logged event: a whole event, or a type and some of its fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.schemas.event import Event
from headrace.schemas.personal import PersonalEvent
from headrace.schemas.shapes import ENVELOPE_NAMES

from .recording_log import Logged

Token = Callable[[bytes], str]


@dataclass(frozen=True)
class Expected:
    """An event of type `cls` whose fields have these values; other fields may have any."""

    cls: type[Event]
    fields: Mapping[str, Any]

    def differences(self, logged: Logged, token: Token) -> list[str]:
        """Return what is different in a logged event of this type, one line a field; nothing for a match.

        A personal value that is hashed may be expected as it was given, or as its token.
        """
        found = []
        for name, wanted in self.fields.items():
            has = logged.fields[name] if name in ENVELOPE_NAMES else getattr(logged.event, name)
            if has != _as_kept(wanted) and not (name in self.cls.HMAC and has == _token(wanted, token)):
                note = ", which the schema says to drop" if name in self.cls.DROPPED and wanted is not None else ""
                found.append(f"{name}: {has!r}, expected {wanted!r}{note}")
        return found

    def matches(self, logged: Logged, token: Token) -> bool:
        """Tell whether a logged event is what is expected."""
        return type(logged.event) is self.cls and not self.differences(logged, token)

    def __str__(self) -> str:
        return f"{self.cls.__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"


def matching(event_type: type[Event], /, **fields: Any) -> Expected:
    """Expect an event of a type with these fields, those of the envelope included; raise TypeError for others.

    Needed where a type has a field called `count`, and in assert_logged_exactly().
    """
    known = {*event_type.FIELDS, *ENVELOPE_NAMES}
    for name in fields:
        if name not in known:
            raise TypeError(f"{event_type.TYPE} has no field {name}; there are {', '.join(event_type.FIELDS)}")
    return Expected(event_type, dict(fields))


def expectation(given: "Event | type[Event] | Expected", fields: Mapping[str, Any] = {}) -> Expected:
    """Return what is expected, from an event, or a type and fields; raise TypeError for anything else."""
    if isinstance(given, type) and issubclass(given, Event):
        return matching(given, **fields)
    if fields:
        raise TypeError("fields belong to an event type: assert_logged(log, Pin, user_id=7)")
    if isinstance(given, Expected):
        return given
    if isinstance(given, Event):
        return Expected(type(given), given.as_dict())
    raise TypeError(f"expect an event, an event type or matching(...), not {type(given).__name__}")


def _as_kept(wanted: Any) -> Any:
    return tuple(wanted) if isinstance(wanted, list) else wanted


def _token(wanted: Any, token: Token) -> Any:
    if isinstance(wanted, str):
        return token(wanted.encode())
    return token(wanted).encode() if isinstance(wanted, bytes) else wanted


def shown(event: Event) -> str:
    """Return an event for a message, without the fields that are null."""
    if isinstance(event, PersonalEvent) and not event.has_tokens:
        return repr(event)
    given = ", ".join(f"{name}={value!r}" for name, value in event.as_dict().items() if value is not None)
    return f"{type(event).__name__}({given})"
