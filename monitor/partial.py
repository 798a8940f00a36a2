"""What one partition adds to one rule: cells, the partition's watermark, and what was not counted. Also as JSON.

These travel from whoever reads a partition to whoever decides for a rule, through a topic in a live run.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .measuring import Cell, CellKey, sketch_of

CELLS_MAX = 4_000
"""Cells in one message, so that it stays well below Kafka's limit of 1 MB (a sketch has at most 2 KB)."""
SKETCHES_MAX = 200
UNCOUNTED = ("late", "duplicate", "malformed", "early")


@dataclass(frozen=True, slots=True)
class Partial:
    """Cells of one rule out of one partition of its topic, which was read up to `watermark_us`.

    `partitions`: how many the topic has. `uncounted`: how many events were not counted, by reason: UNCOUNTED.
    """

    rule: str
    definition: str
    partition: int
    partitions: int
    watermark_us: int
    cells: Mapping[CellKey, Cell] = field(default_factory=dict)
    uncounted: Mapping[str, int] = field(default_factory=dict)

    def messages(self) -> Iterator[bytes]:
        """Yield it as JSON, in as many messages as its size needs; only the last has the new watermark."""
        cells = list(self.cells.items())
        size = SKETCHES_MAX if any(cell.sketch is not None for _, cell in cells) else CELLS_MAX
        while len(cells) > size:
            yield _json(replace(self, watermark_us=-1, cells=dict(cells[:size]), uncounted={}))
            cells = cells[size:]
        yield _json(replace(self, cells=dict(cells)))

    @classmethod
    def of(cls, body: bytes) -> "Partial":
        """Return what a message holds. Raises ValueError, KeyError, TypeError for anything else."""
        return cls.of_json(json.loads(body))

    @classmethod
    def of_json(cls, value: Any) -> "Partial":
        """Return what a message holds that was read as JSON. Raises KeyError, TypeError, ValueError."""
        return cls(
            value["rule"],
            value["definition"],
            value["partition"],
            value["partitions"],
            value["watermark_us"],
            cells_of(value["cells"]),
            value["uncounted"],
        )


def _json(partial: Partial) -> bytes:
    value = {
        "rule": partial.rule,
        "definition": partial.definition,
        "partition": partial.partition,
        "partitions": partial.partitions,
        "watermark_us": partial.watermark_us,
        "cells": cells_json(partial.cells),
        "uncounted": {name: each for name, each in partial.uncounted.items() if each},
    }
    return json.dumps(value, separators=(",", ":")).encode()


def cells_json(cells: Mapping[CellKey, Cell]) -> list[Any]:
    """Return cells in a form for JSON."""
    return [
        [start, list(group), cell.matched, cell.among, _text(cell)]
        if cell.sketch is not None
        else [start, list(group), cell.matched, cell.among]
        for (start, group), cell in cells.items()
    ]


def cells_of(value: list[Any]) -> dict[CellKey, Cell]:
    """Return the cells that cells_json() gave."""
    return {
        CellKey(start, tuple(group)): Cell(matched, among, sketch_of(base64.b64decode(sketch[0])) if sketch else None)
        for start, group, matched, among, *sketch in value
    }


def _text(cell: Cell) -> str:
    return "" if cell.sketch is None else base64.b64encode(cell.sketch.serialize_compact()).decode()
