"""Which schemas are at hand: texts by fingerprint, for everything that reads events.

`builtin()` holds headrace's own types with all their releases; `from_folder` does the same for a team's folder.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from .canonical import wire_text
from .folder import SchemaFolder, read_folder

AUDIT_TOPIC = "headrace.audit"
"""The topic of audit events; it has no prefix, as one account covers all topics."""
ALERT_TOPIC = "headrace.alerts"
"""The topic of monitoring alerts; it has no prefix either, as one set of rules watches all topics."""
_OWN_TOPICS = {"audit": AUDIT_TOPIC, "alert": ALERT_TOPIC}


class SchemaCatalog:
    """Schema texts by fingerprint, and the types by name. Immutable."""

    def __init__(self, texts: Mapping[bytes, str], types: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._types = dict(types)

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the JSON text of the schema with this fingerprint (8 bytes, little-endian), or None."""
        return self._texts.get(fingerprint)

    def texts(self) -> dict[bytes, str]:
        """Return all texts by fingerprint, releases before current schemas."""
        return dict(self._texts)

    def types(self) -> list[str]:
        """Return the names of the types that have a current schema, sorted."""
        return sorted(self._types)

    def current_text(self, event_type: str) -> str | None:
        """Return the text of a type's current schema, or None for a type that is not here."""
        return self._types.get(event_type)


def topic_of(event_type: str) -> str:
    """Return the topic that a type's events go to where nothing else is configured: the type's name, mostly."""
    return _OWN_TOPICS.get(event_type, event_type)


def from_folder(folder: SchemaFolder) -> SchemaCatalog:
    """Make a catalog of a folder that was read."""
    return SchemaCatalog(folder.texts(), {name: wire_text(file.schema) for name, file in folder.current.items()})


@functools.cache
def builtin() -> SchemaCatalog:
    """Return headrace's own types; read from the installed files once a process."""
    return from_folder(read_folder(builtin_folder()))


def builtin_folder() -> Path:
    """Return the folder of headrace's own .avsc files, as installed."""
    return Path(__file__).parent
