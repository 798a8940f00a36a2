"""A fold: what a log adds up to at a full thousand, as a Parquet object (docs/archive-format.md, "Folds").

A fold k holds the positions of all partitions whole, and of the files only what its own thousand added and removed, so
that its size is bounded however long the log is. It is derived from the entries and may be deleted; nobody trusts one
whose digest is off or whose head is not the log's.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .file_columns import FILE_SCHEMA, FileColumns, feed_of
from .log_entries import READER_VERSION, Gap
from .log_removals import Removal
from .log_state import Identity, Intent, LogState, PartitionState, Seal

FOLD_FORMAT = 1
FOLD_KEY = b"headrace-fold"
_TAG = b"headrace fold 1\n"
_REMOVED_SCHEMA = pa.schema([("key", pa.string()), ("seq", pa.int64())])


class FoldUnusable(Exception):
    """An object is no fold that can be relied on. The message says why; the entries say the same, more slowly."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold. `begin_sha256`: of the entry just before its thousand, which links it to the fold before."""

    topic: str
    seq: int
    head_sha256: str
    begin_seq: int
    begin_sha256: str
    summary: Mapping[str, Any]
    columns: FileColumns

    @property
    def digest(self) -> str:
        """SHA-256 over all that the fold says."""
        return _digest(_canonical(self._fields()), self.columns)

    def _fields(self) -> dict[str, Any]:
        removed = self.columns.removed
        return {
            # What the entries need of a reader, the fold needs too: an older one reads on in the entries, and says so.
            "format": max(FOLD_FORMAT, int(self.summary.get("min_reader", FOLD_FORMAT))),
            "topic": self.topic,
            "seq": self.seq,
            "head_sha256": self.head_sha256,
            "begin_seq": self.begin_seq,
            "begin_sha256": self.begin_sha256,
            "summary": self.summary,
            "removed": [[key, seq] for key, seq in removed.items()],
        }

    def encode(self) -> bytes:
        """Return the object's bytes."""
        fields = self._fields()
        text = _canonical({**fields, "digest": _digest(_canonical(fields), self.columns)})
        sink = pa.BufferOutputStream()
        batch = self.columns.batch
        with pq.ParquetWriter(
            sink,
            batch.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=["kind", "dt", "topic_id", "parts.list.element.partition", "parts.list.element.lineage"],
            write_statistics=False,
            write_page_checksum=True,
            store_schema=False,
            version="2.6",
        ) as writer:
            writer.write_batch(batch)
            writer.add_key_value_metadata({FOLD_KEY: text})
        return bytes(sink.getvalue())

    def state(self) -> LogState:
        """Return the state that the fold says, without its files. Raises FoldUnusable."""
        try:
            return _state(self)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FoldUnusable(f"its summary can't be read ({type(error).__name__}: {error})") from error


def fold_key(topic: str, seq: int) -> str:
    """Return the key of a fold."""
    return f"fold/topic={topic}/{seq:020}.parquet"


def fold_of(state: LogState, columns: FileColumns, begin: tuple[int, str]) -> Fold:
    """Fold a state at a full thousand; `begin` is (seq, SHA-256) of the entry before the thousand."""
    summary: dict[str, Any] = {
        "cluster_id": state.cluster_id,
        "topic_id": state.topic_id,
        "partitions": [_partition_json(each) for _, each in sorted(state.identities.items())],
        "sealed": {
            dt: {"seq": seal.seq, "ends": {str(partition): end for partition, end in seal.ends.items()}}
            for dt, seal in state.sealed.items()
        },
        "intents": {
            each.entry_id: {"seq": each.seq, "writer": each.writer, "at": each.at, "adds": sorted(each.adds)}
            for each in state.intents.values()
        },
        "dates": {dt: list(rows) for dt, rows in state.dates.items()},
    }
    if state.min_reader > FOLD_FORMAT:
        summary["min_reader"] = state.min_reader
        summary["removals"] = [each.as_list() for each in state.removals]
        summary["expired"] = state.expired
    return Fold(state.topic, state.seq, state.head_sha256, *begin, summary, columns)


def read_fold(body: bytes) -> Fold:
    """Read a fold and check its digest. Raises FoldUnusable."""
    try:
        limit = max(len(body), 1)
        with pq.ParquetFile(
            pa.BufferReader(body),
            page_checksum_verification=True,
            thrift_string_size_limit=limit,
            thrift_container_size_limit=limit,
            read_dictionary=["kind", "dt", "topic_id"],
        ) as file:
            text = (file.metadata.metadata or {}).get(FOLD_KEY)
            if text is None:
                raise FoldUnusable("it has no headrace-fold in its footer")
            fields = json.loads(text)
            if not FOLD_FORMAT <= fields["format"] <= READER_VERSION:
                raise FoldUnusable(f"its format is {fields['format']!r}, and this version reads up to {READER_VERSION}")
            stated = fields.pop("digest")
            table = file.read(use_threads=False).select(FILE_SCHEMA.names).cast(FILE_SCHEMA).combine_chunks()
        batches = table.to_batches()
        batch = batches[0] if batches else pa.RecordBatch.from_pylist([], FILE_SCHEMA)
        columns = FileColumns(int(fields["seq"]), batch, {str(key): int(seq) for key, seq in fields["removed"]})
        fold = Fold(
            str(fields["topic"]),
            int(fields["seq"]),
            str(fields["head_sha256"]),
            int(fields["begin_seq"]),
            str(fields["begin_sha256"]),
            fields["summary"],
            columns,
        )
        found = _digest(_canonical(fields), columns)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FoldUnusable(f"it can't be read ({type(error).__name__}: {error})") from error
    except MemoryError as error:
        raise FoldUnusable("its footer asks for more memory than there is") from error
    if found != stated:
        raise FoldUnusable(f"its content has the digest {found}, and it says {stated}: it was changed or damaged")
    return fold


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(text: bytes, columns: FileColumns) -> str:
    whole = hashlib.sha256(_TAG + len(text).to_bytes(8, "little") + text)
    for column in columns.batch.columns:
        for piece in feed_of(column):
            whole.update(len(piece).to_bytes(8, "little"))
            whole.update(piece)
    return whole.hexdigest()


def _partition_json(at: PartitionState) -> list[Any]:
    return [
        *(at.identity.topic_id, at.identity.partition, at.identity.lineage, at.origin, at.next, at.leader_epoch),
        *(at.max_timestamp, at.rows, at.quarantined, at.closed, [gap.as_json() for gap in at.gaps]),
    ]


def _partition(row: list[Any]) -> PartitionState:
    topic_id, partition, lineage, origin, next_offset, epoch, newest, rows, quarantined, closed, gaps = row
    return PartitionState(
        Identity(str(topic_id), int(partition), int(lineage)),
        origin=int(origin),
        next=int(next_offset),
        leader_epoch=int(epoch),
        max_timestamp=int(newest),
        rows=int(rows),
        quarantined=int(quarantined),
        closed=bool(closed),
        gaps=tuple(Gap(gap["from"], gap["to"], gap["reason"], gap["evidence"]) for gap in gaps),
    )


def _state(fold: Fold) -> LogState:
    summary = fold.summary
    state = LogState(fold.topic, seq=fold.seq, head_sha256=fold.head_sha256)
    state.cluster_id, state.topic_id = str(summary["cluster_id"]), str(summary["topic_id"])
    for at in map(_partition, summary["partitions"]):
        state.place(at)
    state.sealed = {
        str(dt): Seal(int(seal["seq"]), {int(p): int(end) for p, end in seal["ends"].items()})
        for dt, seal in summary["sealed"].items()
    }
    state.intents = {
        str(entry_id): Intent(str(entry_id), int(of["seq"]), of["writer"], of["at"], frozenset(of["adds"]))
        for entry_id, of in summary["intents"].items()
    }
    state.dates = {str(dt): (int(rows), int(late)) for dt, (rows, late) in summary["dates"].items()}
    state.min_reader = int(summary.get("min_reader", FOLD_FORMAT))
    state.removals = [Removal.from_list(row) for row in summary.get("removals", ())]
    state.expired = {str(dt): int(seq) for dt, seq in summary.get("expired", {}).items()}
    state.begin = (fold.seq, fold.head_sha256)
    return state
