"""What a setting that is an address to listen on may be."""

from dataclasses import dataclass
from typing import Any

from headrace.producer.setting import Text

from .address import address_of


@dataclass(frozen=True, slots=True)
class ListenAt(Text):
    """Where to listen."""

    shape: str = "HOST:PORT, or a port of 127.0.0.1"

    def checked(self, value: Any) -> str:
        """See Kind."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or address_of(text) is None:
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:9477 or [::1]:9477")
        return text
