"""Held rows of one kind and date: batches as they came, put into the file's order one row group at a time."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from .topic_decoder import SCHEMA_COLUMN, Writer
from .topic_decoder_columns import ColumnUnion, conform

COLUMN_BYTES = 300
"""What Arrow needs for a column of a batch, however few its rows are (an estimate)."""

SLICE_ROWS_MIN = 512
"""Runs of consecutive rows of at least this length (on average) are taken as slices, shorter ones row by row."""

SLICE_ROW_BYTES = 128
"""What a row takes for which that holds; of larger ones fewer are worth a slice, since gathering copies them."""

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


def compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Copy a batch into buffers of its own size: decoders leave up to half of theirs unused, which adds up."""
    return pa.concat_batches([batch, batch.slice(0, 0)])


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
        self.bytes += batch.num_columns * COLUMN_BYTES

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
        """Return the rows of the given partitions (ascending) in the file's order."""
        found = np.concatenate([batch.column(0).to_numpy() for batch in self._batches])
        order = np.argsort(found, kind="stable")
        in_order = found[order]
        starts = np.searchsorted(in_order, partitions, "left").tolist()
        stops = np.searchsorted(in_order, partitions, "right").tolist()
        if sum(stops) - sum(starts) < len(order):
            order = np.concatenate([order[start:stop] for start, stop in zip(starts, stops, strict=True)])
        return SortedRows(self._batches, order)


class SortedRows:
    """The rows of a file in its order. `order`: the position, in all batches together, of each row."""

    def __init__(self, batches: list[pa.RecordBatch], order: np.ndarray) -> None:
        self._batches = batches
        self._order = order

    def writers(self, writers: Sequence[Writer]) -> list[Writer]:
        """Return the writers of the schemas that the rows were decoded with."""
        ids = np.concatenate([batch.column(SCHEMA_COLUMN).to_numpy() for batch in self._batches])
        used = np.bincount(ids[self._order] + 1, minlength=len(writers) + 1)[1:] > 0
        return [writer for writer, has_rows in zip(writers, used.tolist(), strict=True) if has_rows]

    def data_tables(
        self, bounds: Iterable[tuple[int, int]], writers: Sequence[Writer], union: ColumnUnion, *, late: bool
    ) -> Iterator[pa.Table]:
        """Yield the rows [start, stop) of the file, for each bound, with the columns of a data file.

        `late`: whether the date was sealed before these rows came.
        """
        own = union.fields({name for writer in writers for name in writer.schema.arrow_schema.names})
        names = [field.name for field in own]
        frames = pa.array([writer.frame for writer in writers], pa.binary())
        index_of = np.zeros(max((writer.index for writer in writers), default=0) + 2, np.int32)
        index_of[[writer.index for writer in writers]] = np.arange(len(writers))
        for table in self._tables(own, [*RECORD_NAMES, SCHEMA_COLUMN, "_value"], bounds):
            ids = table.column(SCHEMA_COLUMN).to_numpy()
            value = table.column("_value")
            no_frame = ids < 0
            if value.null_count < len(value):
                no_frame |= value.is_valid().to_numpy()
            frame = pa.DictionaryArray.from_arrays(pa.array(index_of[ids], mask=no_frame), frames)
            lates = pa.array(np.full(len(table), late))
            columns = table.select([*names, *RECORD_NAMES]).columns
            yield pa.table([*columns, frame, value, lates], names=[*names, *RECORD_NAMES, "_frame", "_value", "_late"])

    def quarantine_tables(self, bounds: Iterable[tuple[int, int]]) -> Iterator[pa.Table]:
        """Yield the rows [start, stop) of the file, for each bound, with the columns of a quarantine file."""
        return self._tables([], [*RECORD_NAMES, "_value", "_error_kind", "_error"], bounds)

    def _tables(self, own: list[pa.Field], names: list[str], bounds: Iterable[tuple[int, int]]) -> Iterator[pa.Table]:
        fields = [*own, *(self._batches[0].schema.field(name) for name in names)]
        batches = [conform(batch, batch.num_rows, fields) for batch in self._batches]
        whole = pa.Table.from_batches(batches)
        row_bytes = whole.nbytes // max(1, whole.num_rows)
        for start, stop in bounds:
            order = self._order[start:stop]
            cuts = [0, *(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)]
            if len(order) * max(1, row_bytes // SLICE_ROW_BYTES) < SLICE_ROWS_MIN * (len(cuts) - 1):
                yield whole.take(pa.array(order)).unify_dictionaries()
            else:  # long runs: pointing at them is cheaper than gathering rows
                slices = [whole.slice(int(order[at]), end - at) for at, end in pairwise(cuts)]
                yield pa.concat_tables(slices).unify_dictionaries()
