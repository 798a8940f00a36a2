"""The event classes by type name: our own, or those of a team's generated module."""

from types import ModuleType

from . import events
from .event import Event


def event_classes(module: ModuleType = events) -> dict[str, type[Event]]:
    """Return the event classes that a generated module defines, by type name."""
    return {
        value.TYPE: value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and hasattr(value, "TYPE")
    }
