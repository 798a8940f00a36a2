"""The rules between two versions of a schema: full transitive compatibility.

Every version must read every other's events, older and newer, so all pairs are compared and not only neighbours.
fastavro's and Avro's own checks look at the bytes alone; here logical types, defaults and keys count too, since a
reader that mixes versions sees them change.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from .errors import SchemaError
from .folder import SchemaFile, SchemaFolder
from .pii import unlabelled, weakened
from .release import changed_releases
from .rules import Violation, violations_of
from .shapes import Field, Shape, fields_of

_FREEZE = "releases never change: restore it, and make the change in a new release"


def check(folder: SchemaFolder) -> list[Violation]:
    """Return all broken rules of a folder, each once: of every file by itself, of all pairs, of the releases."""
    found: list[Violation] = []
    for file in folder.files():
        found += violations_of(file.label, file.event_type, file.schema)
    found += [violation for violation, is_error in _unlabelled(folder) if is_error]
    found += [Violation(name, "", "released", problem, _FREEZE) for name, problem in changed_releases(folder)]
    for event_type in sorted(folder.current.keys() | folder.released.keys()):
        found += _numbers(folder.released.get(event_type, []))
        if event_type not in folder.current:
            advice = f"put {event_type}.avsc back: its events are in the archive"
            found.append(Violation(f"released/{event_type}", "", "removed", "there is no current schema", advice))
    broken = {violation.file for violation in found}
    for event_type in sorted(folder.current.keys() | folder.released.keys()):
        versions = [file for file in folder.files() if file.event_type == event_type and file.label not in broken]
        found += compare_all([(file.label, file.schema) for file in versions])
    return list(dict.fromkeys(found))


def warnings(folder: SchemaFolder) -> list[Violation]:
    """Return what breaks no rule and deserves a look: fields that may hold personal data and have no label."""
    return [violation for violation, is_error in _unlabelled(folder) if not is_error]


def _unlabelled(folder: SchemaFolder) -> Iterator[tuple[Violation, bool]]:
    """Yield fields without a label, of current schemas only: what was released cannot be labelled any more."""
    for file in folder.current.values():
        with contextlib.suppress(SchemaError):  # which violations_of reports
            for field, is_error, broken in unlabelled(file.schema):
                yield Violation(file.label, field, *broken), is_error


def compare_all(versions: Sequence[tuple[str, dict[str, Any]]]) -> list[Violation]:
    """Return what all pairs of versions of one type break; `versions` are (label, schema), oldest first."""
    found = []
    for (older_name, older), (newer_name, newer) in combinations(versions, 2):
        found += list(compare(older_name, older, newer_name, newer))
    return found


def compare(older_name: str, older: dict[str, Any], newer_name: str, newer: dict[str, Any]) -> Iterator[Violation]:
    """Yield the rules that the step from an older to a newer version breaks."""
    try:
        before = {field.name: field for field in fields_of(older)}
        after = {field.name: field for field in fields_of(newer)}
    except SchemaError as error:
        yield Violation(newer_name, "", "type", str(error), f"it cannot be compared with {older_name}")
        return
    for attribute in ("name", "namespace", "key"):
        if older.get(attribute) != newer.get(attribute):
            yield Violation(
                newer_name, "", attribute, f"{newer.get(attribute)!r}, but {older.get(attribute)!r} in {older_name}",
                "nothing is renamed and keys stay: restore it, or make a new event type",
            )  # fmt: skip
    for name, field in before.items():
        if name not in after:
            yield Violation(
                newer_name, name, "removed", f"is in {older_name} and not here", "put it back; stop filling it instead"
            )
        else:
            yield from _compare_field(older_name, newer_name, field, after[name])
    for name, field in after.items():
        if name not in before and not field.has_default:
            yield Violation(
                newer_name, name, "default", f"is new since {older_name} and has no default",
                'make it nullable with "default": null, or give it a default',
            )  # fmt: skip


def _compare_field(older_name: str, newer_name: str, older: Field, newer: Field) -> Iterator[Violation]:
    name = newer.name
    for broken in weakened(older_name, older, newer):
        yield Violation(newer_name, name, *broken)
    if _core(older.shape) != _core(newer.shape):
        yield Violation(
            newer_name, name, "retyped", f"is {newer.shape}, but {older.shape} in {older_name}",
            "restore the type and add a new field beside it",
        )  # fmt: skip
        return
    if (older.has_default, older.default) != (newer.has_default, newer.default):
        yield Violation(
            newer_name, name, "default", f"has {_default(newer)}, but {_default(older)} in {older_name}",
            "restore it: the same old event must read the same in every version",
        )  # fmt: skip
    was, now = older.shape.items or older.shape, newer.shape.items or newer.shape
    if now.symbols[: len(was.symbols)] != was.symbols:
        yield Violation(
            newer_name, name, "enum", f"symbols of {older_name} were removed, renamed or moved",
            "restore them in their order and append new ones at the end",
        )  # fmt: skip
    if was.default_symbol != now.default_symbol:
        yield Violation(
            newer_name, name, "enum", f"default is {now.default_symbol}, but {was.default_symbol} in {older_name}",
            "restore it",
        )  # fmt: skip


def _core(shape: Shape) -> tuple[Any, ...]:
    """Return what must not change of a type: everything but an enum's symbols, which may grow."""
    items = _core(shape.items) if shape.items is not None else ()
    return (shape.kind, shape.nullable, shape.name, shape.size, items)


def _default(field: Field) -> str:
    return f"default {field.default!r}" if field.has_default else "no default"


def _numbers(releases: list[SchemaFile]) -> Iterator[Violation]:
    for expected, file in enumerate(releases, start=1):
        if file.release != expected:
            yield Violation(
                file.label, "", "released", f"release {expected} is missing before it", "releases count 1, 2, 3..."
            )
            return
