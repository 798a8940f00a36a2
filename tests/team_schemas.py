"""A team's schema folder for tests: its envelope comes from our own pin type."""

import json
from pathlib import Path
from typing import Any

from headrace.schemas.catalog import builtin_folder

ENVELOPE: list[dict[str, Any]] = json.loads((builtin_folder() / "pin.avsc").read_text())["fields"][:7]


def enum(name: str, *symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": ["UNKNOWN", *symbols], "default": "UNKNOWN"}


def field(name: str, avro_type: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro_type, **more}


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A record Order with the envelope and these fields."""
    return {"type": "record", "name": "Order", "namespace": "shop", **more, "fields": [*ENVELOPE, *fields]}


def write(path: Path, schema: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema))
    return path
