"""Real Kafka and a real S3 server on one machine, without Docker. `headrace local` is its command line.

`Instance`, `LocalError`, `default_folder` are loaded when first asked for: importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LocalError as LocalError
    from .instance import Instance as Instance
    from .instance import default_folder as default_folder

__all__ = ["Instance", "LocalError", "default_folder"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "LocalError":
        from .errors import LocalError  # noqa: PLC0415 - this is what makes it lazy

        return LocalError
    if name in __all__:
        from . import instance  # noqa: PLC0415 - as above

        return getattr(instance, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
