"""Real Kafka and a real S3 server on one machine, without Docker. `headrace local` is its command line.

`Instance`, `LocalError`, `default_folder` are loaded when first asked for: importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LocalError as LocalError
    from .instance import Instance as Instance
    from .places import default_folder as default_folder

_MODULES = {"Instance": "instance", "LocalError": "errors", "default_folder": "places"}
__all__ = ["Instance", "LocalError", "default_folder"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
