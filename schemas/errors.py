"""What can go wrong with schemas and events. All are ValueErrors; none is raised for trouble with Kafka or files.

ValueError
- SchemaError: a schema, or a folder of them, cannot be used
- InvalidEvent: a value does not fit its event type (names type.field and what would fit)
- DecodeError: bytes are not what their frame says
  - UnknownFingerprint: the writer's schema is not among those at hand
"""


class SchemaError(ValueError):
    """A schema, or a folder of schemas, cannot be used; says which file and what to change."""


class InvalidEvent(ValueError):
    """A value does not fit its event type. `where` is `type.field`, `reason` says what would fit."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason

    def __reduce__(self) -> tuple[type["InvalidEvent"], tuple[str, str]]:
        return InvalidEvent, (self.where, self.reason)


class DecodeError(ValueError):
    """Bytes are not an event: no known frame, cut short, left over, or a value that the type does not have."""


class UnknownFingerprint(DecodeError):
    """The frame names a schema that is not at hand. `fingerprint` holds its 8 bytes, little-endian as on the wire."""

    def __init__(self, fingerprint: bytes) -> None:
        super().__init__(
            f"no schema with fingerprint {fingerprint.hex()} is known here: publish it (`headrace schema publish`) or "
            "give the folder that holds it"
        )
        self.fingerprint = fingerprint

    def __reduce__(self) -> tuple[type["UnknownFingerprint"], tuple[bytes]]:
        return UnknownFingerprint, (self.fingerprint,)
