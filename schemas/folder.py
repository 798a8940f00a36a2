"""A folder of event types: `<type>.avsc` files, and `released/<type>/<n>.avsc`, the frozen copies of each release.

Our own schemas/ is such a folder, and a team's is read by the same code.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .canonical import fingerprint, load, wire_text
from .errors import SchemaError

RELEASED = "released"
MANIFEST = "MANIFEST.sha256"


@dataclass(frozen=True)
class SchemaFile:
    """One .avsc file. `release` is None for the current schema of a type, else the number of its frozen copy."""

    event_type: str
    release: int | None
    path: Path
    schema: dict[str, Any]

    @property
    def label(self) -> str:
        """Name the file briefly for messages: `pin.avsc` or `released/pin/1.avsc`."""
        depth = 1 if self.release is None else 3
        return "/".join(self.path.parts[-depth:])


@dataclass(frozen=True)
class SchemaFolder:
    """What a folder holds: current schemas by type, and releases by type, oldest first."""

    path: Path
    current: dict[str, SchemaFile] = field(default_factory=dict)
    released: dict[str, list[SchemaFile]] = field(default_factory=dict)

    def files(self) -> list[SchemaFile]:
        """Return all files, each type's releases first and its current schema last."""
        names = sorted(self.current.keys() | self.released.keys())
        return [
            file
            for name in names
            for file in [*self.released.get(name, []), *([self.current[name]] if name in self.current else [])]
        ]

    def texts(self) -> dict[bytes, str]:
        """Return the wire text of every release and current schema by fingerprint (8 bytes, little-endian).

        Raises SchemaError where two texts have one fingerprint: readers could not tell which one wrote an event.
        """
        texts: dict[bytes, str] = {}
        for file in self.files():
            text = wire_text(file.schema)
            if texts.setdefault(fingerprint(file.schema), text) != text:
                raise SchemaError(
                    f"{file.path}: another schema has the same fingerprint but other defaults, logical types or key"
                )
        return texts


def read_folder(path: Path) -> SchemaFolder:
    """Read a folder of schemas; raise SchemaError for files that are missing, unreadable or no record schema."""
    if not path.is_dir():
        raise SchemaError(f"{path} is no folder: give the one that holds your .avsc files")
    folder = SchemaFolder(path)
    for file in sorted(path.glob("*.avsc")):
        folder.current[file.stem] = SchemaFile(file.stem, None, file, _read(file))
    for sub in sorted(p for p in (path / RELEASED).glob("*") if p.is_dir()):
        releases = []
        for file in sub.glob("*.avsc"):
            if not (file.stem.isascii() and file.stem.isdigit()):
                raise SchemaError(f"{file}: a release is named by its number: 1.avsc, 2.avsc, ...")
            releases.append(SchemaFile(sub.name, int(file.stem), file, _read(file)))
        folder.released[sub.name] = sorted(releases, key=lambda release: release.release or 0)
    if not folder.current:
        raise SchemaError(f"{path} holds no .avsc file: give the folder that holds your event types")
    return folder


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{file}: cannot be read: {error}") from error
    return load(text, str(file))
