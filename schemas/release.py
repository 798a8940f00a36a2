"""Releases: frozen copies of schemas, and the manifest that tells when one was changed after all."""

import hashlib
from collections.abc import Iterator
from typing import Any

from .canonical import wire_text
from .errors import SchemaError
from .folder import MANIFEST, RELEASED, SchemaFolder
from .shapes import PII, PII_REASON


def manifest_of(folder: SchemaFolder) -> dict[str, str]:
    """Return the SHA-256 of each release by its path under released/, as the files are now."""
    return {
        f"{file.event_type}/{file.release}.avsc": hashlib.sha256(file.path.read_bytes()).hexdigest()
        for file in folder.files()
        if file.release is not None
    }


def changed_releases(folder: SchemaFolder) -> Iterator[tuple[str, str]]:
    """Yield (file, problem) for each release that is not what the manifest says."""
    recorded, actual = _read_manifest(folder), manifest_of(folder)
    for name in sorted(recorded.keys() | actual.keys()):
        if name not in actual:
            yield f"{RELEASED}/{name}", "was released and is gone"
        elif name not in recorded:
            yield f"{RELEASED}/{name}", f"is not in {RELEASED}/{MANIFEST}"
        elif recorded[name] != actual[name]:
            yield f"{RELEASED}/{name}", "was changed after its release"


def release(folder: SchemaFolder) -> list[str]:
    """Freeze every current schema that differs from its newest release; return the new files' paths under released/.

    Writes the copies and the manifest; read the folder again afterwards. The caller has checked the folder: what is
    released wrong stays wrong. A change of docs alone is no new release; one of a label (pii.py) is.
    """
    lines = _read_manifest(folder)
    made = []
    for event_type, file in sorted(folder.current.items()):
        releases = folder.released.get(event_type, [])
        if releases and _content(releases[-1].schema) == _content(file.schema):
            continue
        name = f"{event_type}/{len(releases) + 1}.avsc"
        target = folder.path / RELEASED / name
        target.parent.mkdir(parents=True, exist_ok=True)
        data = file.path.read_bytes()
        # Exclusive: a release that is there already is never overwritten, whatever the folder looked like when read.
        with target.open("xb") as out:
            out.write(data)
        lines[name] = hashlib.sha256(data).hexdigest()
        made.append(name)
    if made:
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines.items()))
        (folder.path / RELEASED / MANIFEST).write_text(text, encoding="utf-8")
    return made


def _content(schema: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return what makes a release: the text that readers get, and the labels, which they don't."""
    return wire_text(schema), [(raw.get(PII), raw.get(PII_REASON)) for raw in schema["fields"]]


def _read_manifest(folder: SchemaFolder) -> dict[str, str]:
    """Return what the manifest records: digests by path under released/; empty before the first release."""
    path = folder.path / RELEASED / MANIFEST
    if not path.exists():
        return {}
    recorded = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        if not name:
            raise SchemaError(f"{path}: line {number} is not '<sha256>  <file>': restore the file")
        recorded[name] = digest
    return recorded
