"""A team's schema folder for tests: its envelope comes from our own pin type."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace.schemas.catalog import builtin_folder
from headrace.schemas.folder import read_folder
from headrace.schemas.generate import generate

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


_numbers = itertools.count()


def load_module(text: str, folder: Path) -> ModuleType:
    """Import a generated module's text, under a name of its own."""
    file = folder / f"generated_{next(_numbers)}.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def classes_of(folder: Path, schema: Any) -> ModuleType:
    """Write a record Order into a folder, and import the classes that are generated for it."""
    write(folder / "order.avsc", schema)
    return load_module(generate(read_folder(folder)), folder)
