"""Held rows of one kind and date: batches as they came, put into the file's order one row group at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from .topic_decoder import SCHEMA_COLUMN, Writer
from .topic_decoder_columns import ColumnUnion, conform

RECORD_NAMES = ("_partition", "_offset", "_timestamp", "_timestamp_type", "_key", "_headers")


def sorted_by_partition(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with each partition's rows together, in the order they came; itself where that is so."""
    partitions = batch.column(0).to_numpy()
    if (partitions[1:] >= partitions[:-1]).all():
        return batch
    return batch.take(pa.array(np.argsort(partitions, kind="stable")))


def runs_of(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (value, start, stop) of each run of equal values."""
    if not len(values):
        return []
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(int(values[start]), start, stop) for start, stop in pairwise(cuts)]


class HeldRows:
    """Batches of one kind and date, each sorted by partition."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self.rows = 0
        self.bytes = 0

    def add(self, batch: pa.RecordBatch, *, shared_by: pa.RecordBatch) -> None:
        """Hold a batch, which may be a slice of `shared_by`."""
        self._batches.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes if batch.num_rows < shared_by.num_rows else shared_by.get_total_buffer_size()

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the rows of some partitions."""
        gone = np.array(sorted(partitions), np.int32)
        batches, self._batches, self.rows, self.bytes = self._batches, [], 0, 0
        for batch in batches:
            stay = ~np.isin(batch.column(0).to_numpy(), gone)
            if stay.all():
                self.add(batch, shared_by=batch)
            elif stay.any():
                rest = batch.filter(pa.array(stay))
                self.add(rest, shared_by=rest)

    def sorted_rows(self, partitions: Sequence[int]) -> "SortedRows":
        """Return the rows of the given partitions in the file's order."""
        found = np.concatenate([batch.column(0).to_numpy() for batch in self._batches])
        order = np.argsort(found, kind="stable")
        wanted = np.isin(found[order], np.array(partitions, np.int32))
        if not wanted.all():
            order = order[wanted]
        return SortedRows(self._batches, order)


@dataclass(frozen=True, slots=True)
class SortedRows:
    """`order`: the position, in all batches together, of each row of the file."""

    batches: list[pa.RecordBatch]
    order: np.ndarray

    def writers(self, writers: Sequence[Writer]) -> list[Writer]:
        """Return the writers of the schemas that the rows were decoded with."""
        ids = np.concatenate([batch.column(SCHEMA_COLUMN).to_numpy() for batch in self.batches])
        return [writers[index] for index in np.unique(ids[self.order]).tolist() if index >= 0]

    def data_table(self, start: int, stop: int, writers: Sequence[Writer], union: ColumnUnion) -> pa.Table:
        """Return the rows [start, stop) of the file with the columns of a data file."""
        own = union.fields({name for writer in writers for name in writer.schema.arrow_schema.names})
        table = self._rows(own, [*RECORD_NAMES, SCHEMA_COLUMN, "_value"], start, stop)
        ids = table.column(SCHEMA_COLUMN).to_numpy()
        value = table.column("_value")
        index_of = np.zeros(max((writer.index for writer in writers), default=0) + 2, np.int32)
        index_of[[writer.index for writer in writers]] = np.arange(len(writers))
        no_frame = (ids < 0) | value.is_valid().to_numpy()
        frames = pa.DictionaryArray.from_arrays(
            pa.array(index_of[ids], mask=no_frame), pa.array([writer.frame for writer in writers], pa.binary())
        )
        late = pa.array(np.zeros(stop - start, bool))
        record = [table.column(name) for name in RECORD_NAMES]
        return pa.table(
            [*(table.column(field.name) for field in own), *record, frames, value, late],
            names=[*(field.name for field in own), *RECORD_NAMES, "_frame", "_value", "_late"],
        )

    def quarantine_table(self, start: int, stop: int) -> pa.Table:
        """Return the rows [start, stop) of the file with the columns of a quarantine file."""
        return self._rows([], [*RECORD_NAMES, "_value", "_error_kind", "_error"], start, stop)

    def _rows(self, own: list[pa.Field], names: list[str], start: int, stop: int) -> pa.Table:
        fields = [*own, *(self.batches[0].schema.field(name) for name in names)]
        table = pa.Table.from_batches([conform(batch, batch.num_rows, fields) for batch in self.batches])
        order = self.order[start:stop]
        if order[-1] - order[0] == len(order) - 1 and (np.diff(order) == 1).all():
            table = table.slice(int(order[0]), len(order))
        else:
            table = table.take(pa.array(order))
        return table.unify_dictionaries()
