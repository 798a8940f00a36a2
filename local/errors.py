"""The one exception that the local set-up raises, for what a person can put right; never for a programming error."""


class LocalError(RuntimeError):
    """Starting, stopping or asking after local servers failed; the text says what, where, why and what to do next."""
