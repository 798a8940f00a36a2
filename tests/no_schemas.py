"""A source of schemas that knows none: for tests of the archiver on raw topics."""


class NoSchemas:
    """Knows no schema."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        del fingerprint
        return None

    def text_by_registry_id(self, schema_id: int) -> str | None:
        del schema_id
        return None
