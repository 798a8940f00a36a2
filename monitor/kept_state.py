"""What a worker must know to go on where another left off, as pieces of bytes under names.

A live run keeps the pieces in the stream engine's state: they are committed together with the offsets that were read,
so that after a kill either both are there or neither. Only what changed is written. Nothing here knows the engine.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from .alert_state import AlertState
from .baseline import Baseline
from .evaluator import Evaluator
from .measuring import Cell, CellKey
from .partial import CELLS_MAX, SKETCHES_MAX, cells_json, cells_of
from .partition_panes import PartitionPanes
from .rules import Change, Group
from .seen_ids import unpacked
from .window_sums import Pane

IDS_MAX = 20_000
"""Ids in one piece: 480 KB, well below Kafka's limit of 1 MB for a message of a changelog topic."""
ENTRIES_MAX = 2_000
SHARDS = 64


class Pieces(Protocol):
    """Where pieces are kept, of one partition or one rule."""

    def get_bytes(self, key: str) -> bytes | None:
        """Return a piece, None when there is none of that name."""

    def set_bytes(self, key: str, value: bytes) -> None:
        """Keep a piece."""

    def delete(self, key: str) -> None:
        """Let go of a piece."""


class PartitionKeeper:
    """Keeps one partition's watermark, and the ids of events of which a repeat could still come."""

    def __init__(self, panes: PartitionPanes) -> None:
        self.panes = panes
        self._chunks: list[list[int]] = []
        self._next = 0

    def load(self, pieces: Pieces) -> None:
        """Go on from what was kept, if anything was."""
        head = pieces.get_bytes("head")
        if head is None:
            return
        value = json.loads(head)
        self._chunks, self._next = value["chunks"], value["next"]
        bodies = (pieces.get_bytes(f"ids/{number}") or b"" for number, _ in self._chunks)
        self.panes.restore(value["watermark_us"], [each for body in bodies for each in unpacked(body)])

    def save(self, pieces: Pieces) -> None:
        """Keep what is new, and let go of ids that no longer matter."""
        ids = self.panes.take_ids()
        for at in range(0, len(ids), IDS_MAX):
            part = ids[at : at + IDS_MAX]
            pieces.set_bytes(f"ids/{self._next}", b"".join(part))
            self._chunks.append([self._next, max(occurred_us for _, occurred_us in unpacked(b"".join(part)))])
            self._next += 1
        floor_us = self.panes.watermark_us - self.panes.ids_keep_us
        for number, newest_us in self._chunks:
            if newest_us < floor_us:
                pieces.delete(f"ids/{number}")
        self._chunks = [each for each in self._chunks if each[1] >= floor_us]
        value = {"watermark_us": self.panes.watermark_us, "chunks": self._chunks, "next": self._next}
        pieces.set_bytes("head", _json(value))


class RuleKeeper:
    """Keeps one rule's evaluator: its watermarks, hops, alerts, baselines, and the values it has seen."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._panes: dict[int, int] = {}  # start of a hop -> in how many pieces it is kept
        self._alerts = 0
        self._based = 0

    def load(self, pieces: Pieces) -> bool:
        """Go on from what was kept; return whether anything was, of this definition of the rule."""
        body = pieces.get_bytes("head")
        head = None if body is None else json.loads(body)
        evaluator = self.evaluator
        if head is None or head["definition"] != evaluator.rule.definition:
            return False
        evaluator.watermarks = {int(number): each for number, each in head["watermarks"].items()}
        evaluator.partitions, evaluator.next_us = head["partitions"], head["next_us"]
        evaluator.origin_us, evaluator.learned_us = head["origin_us"], head["learned_us"]
        evaluator.uncounted |= head["uncounted"]
        self._panes = {int(start): count for start, count in head["panes"].items()}
        for start_us in sorted(self._panes):
            self._load_pane(start_us, _parts(pieces, f"pane/{start_us}", self._panes[start_us]))
        self._alerts, self._based = head["alerts"], head["based"]
        for group, value in _parts(pieces, "alerts", self._alerts):
            evaluator.alerts[tuple(group)] = AlertState.of(value)
        for shard in range(SHARDS):
            evaluator.seen.restore(json.loads(pieces.get_bytes(f"seen/{shard}") or b"[]"))
        self._load_baselines(pieces)
        return True

    def _load_pane(self, start_us: int, cells: Iterable[Any]) -> None:
        evaluator = self.evaluator
        pane = {group: cell for (_, group), cell in cells_of(list(cells)).items()}
        if evaluator.next_us is None or start_us >= evaluator.next_us:
            evaluator.open[start_us] = pane
        else:
            gone = evaluator.sums.push(pane)
            if gone is not None and evaluator.before is not None:
                evaluator.before.push(gone)

    def _load_baselines(self, pieces: Pieces) -> None:
        evaluator, rule = self.evaluator, self.evaluator.rule
        if not isinstance(rule.condition, Change):
            return
        for group, slots in _parts(pieces, "based", self._based):
            baseline = Baseline(rule.condition, rule.measure, rule.window_us, rule.hop_us)
            for slot in slots:
                body = pieces.get_bytes(_slot_key(tuple(group), slot))
                if body is not None:
                    baseline.restore_slot(slot, json.loads(body))
            evaluator.baselines[tuple(group)] = baseline

    def save(self, pieces: Pieces) -> None:
        """Keep what changed since the last time."""
        evaluator = self.evaluator
        held = self._held()
        for start_us in [each for each in self._panes if each not in held]:
            for part in range(self._panes.pop(start_us)):
                pieces.delete(f"pane/{start_us}/{part}")
        for start_us, pane in held.items():
            if start_us in evaluator.changed_panes or start_us not in self._panes:
                before = self._panes.get(start_us, 0)
                self._panes[start_us] = _write(pieces, f"pane/{start_us}", _cell_parts(start_us, pane), before)
        evaluator.changed_panes.clear()
        alerts = [[list(group), alert.as_json()] for group, alert in evaluator.alerts.items()]
        if alerts or self._alerts:
            self._alerts = _write(pieces, "alerts", _cut(alerts, ENTRIES_MAX), self._alerts)
        self._save_seen(pieces)
        self._save_baselines(pieces)
        value = {
            "definition": evaluator.rule.definition,
            "watermarks": evaluator.watermarks,
            "partitions": evaluator.partitions,
            "next_us": evaluator.next_us,
            "origin_us": evaluator.origin_us,
            "learned_us": evaluator.learned_us,
            "uncounted": evaluator.uncounted,
            "panes": self._panes,
            "alerts": self._alerts,
            "based": self._based,
        }
        pieces.set_bytes("head", _json(value))

    def _held(self) -> dict[int, Pane]:
        """Return all hops that are needed still, by their starts: open ones, those of the window, those before it."""
        evaluator = self.evaluator
        held: dict[int, Pane] = dict(evaluator.open)
        if evaluator.next_us is not None:
            closed = [*(evaluator.before.panes() if evaluator.before else ()), *evaluator.sums.panes()]
            for back, pane in enumerate(reversed(closed), start=1):
                held[evaluator.next_us - back * evaluator.rule.hop_us] = pane
        return held

    def _save_seen(self, pieces: Pieces) -> None:
        seen = self.evaluator.seen
        if not seen.changed:
            return
        dirty = {shard_of(group) for group in seen.changed}
        entries: dict[int, list[Any]] = {shard: [] for shard in dirty}
        for group in seen.groups():
            shard = shard_of(group)
            if shard in dirty:
                entries[shard].append(seen.entry(group))
        for shard, own in entries.items():
            pieces.set_bytes(f"seen/{shard}", _json(own))
        seen.changed.clear()

    def _save_baselines(self, pieces: Pieces) -> None:
        evaluator = self.evaluator
        if not evaluator.changed_slots:
            return
        for group, slot in evaluator.changed_slots:
            pieces.set_bytes(_slot_key(group, slot), _json(evaluator.baselines[group].slot_json(slot)))
        evaluator.changed_slots.clear()
        based = [[list(group), list(each.slots())] for group, each in evaluator.baselines.items()]
        self._based = _write(pieces, "based", _cut(based, ENTRIES_MAX), self._based)


def shard_of(group: Group) -> int:
    """Return which piece a group's entry is in; the same in every process."""
    return sum(json.dumps(group).encode()) % SHARDS


def _slot_key(group: Group, slot: int) -> str:
    return f"base/{json.dumps(group)}/{slot}"


def _cell_parts(start_us: int, pane: Pane) -> Iterator[Sequence[Any]]:
    cells: dict[CellKey, Cell] = {CellKey(start_us, group): cell for group, cell in pane.items()}
    sketches = any(cell.sketch is not None for cell in pane.values())
    return _cut(cells_json(cells), SKETCHES_MAX if sketches else CELLS_MAX)


def _cut(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(entries), size):
        yield entries[at : at + size]


def _write(pieces: Pieces, name: str, parts: Iterable[Sequence[Any]], before: int) -> int:
    """Write a list in parts; let go of parts that it had more of before. Return how many it has now."""
    count = 0
    for part in parts:
        pieces.set_bytes(f"{name}/{count}", _json(part))
        count += 1
    for number in range(count, before):
        pieces.delete(f"{name}/{number}")
    return count


def _parts(pieces: Pieces, name: str, count: int) -> Iterator[Any]:
    for number in range(count):
        yield from json.loads(pieces.get_bytes(f"{name}/{number}") or b"[]")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
