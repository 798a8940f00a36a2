"""Both ways from values to rows, the vectorised and the strict one, and the check of either by encoding."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import batch_of, specimen
from .container import BlockReader, BlockRejected
from .encode import encode_rows
from .nodes import Record, has_fixed_length_forms
from .proof import proves_canonical
from .strict import StrictDecoder, StrictError


class StrictRows(NamedTuple):
    """Rows from the strict decoder; `ok` and `errors` by value, `canonical` by row."""

    columns: pa.RecordBatch
    ok: np.ndarray
    canonical: np.ndarray
    errors: dict[int, str]


class RowReader:
    """Reads values of `frame` and one record each."""

    def __init__(self, root: Record, frame: bytes) -> None:
        self.no_rows = batch_of(root, [])
        self.disagreements = 0
        self._root = root
        self._frame = frame
        self._provable = has_fixed_length_forms(root)
        self._strict = StrictDecoder(root, frame)
        self._blocks = BlockReader(root, frame)
        self.vectorised = self._is_readable()

    def encode(self, columns: pa.Table | pa.RecordBatch) -> pa.BinaryArray:
        """Return each row's value. Raises EncodeError."""
        return encode_rows(self._root, self._frame, columns)

    def read_block(self, values: pa.BinaryArray, *, full: bool) -> tuple[pa.RecordBatch, np.ndarray] | None:
        """Read with the vectorised reader: the rows, and which of them are proved canonical. None: it can't read them.

        Rows that are not proved may be anything. `full` has them all encoded again.
        """
        try:
            columns = self._blocks.read(values)
        except BlockRejected:
            return None
        if self._provable and not full and proves_canonical(self._root, self._frame, columns, values):
            return columns, np.ones(len(values), bool)
        return columns, self._encodes_to(columns, values)

    def read_strictly(self, values: pa.BinaryArray) -> StrictRows:
        """Decode one by one."""
        rows, errors = [], {}
        for index, value in enumerate(values.to_pylist()):
            try:
                rows.append(self._strict.decode(value))
            except StrictError as error:
                errors[index] = str(error)
        ok = np.ones(len(values), bool)
        ok[list(errors)] = False
        columns = batch_of(self._root, rows)
        return StrictRows(columns, ok, self._encodes_to(columns, values.filter(pa.array(ok))), errors)

    def distrust(self, values: int) -> None:
        """Use the vectorised reader no more, since it got so many values wrong."""
        self.disagreements += values
        self.vectorised = False

    def _is_readable(self) -> bool:
        """Try the vectorised reader on a made-up row: one that can't read the schema is not tried on each batch."""
        if len(self._frame) + self._root.min_bytes == 0:  # rows of no bytes can't be told apart in a block
            return False
        columns = batch_of(self._root, [specimen(self._root)])
        read = self.read_block(self.encode(columns), full=True)
        return read is not None and read[0].equals(columns)

    def _encodes_to(self, columns: pa.RecordBatch, values: pa.BinaryArray) -> np.ndarray:
        same: np.ndarray = pc.equal(self.encode(columns), values).to_numpy(zero_copy_only=False)
        return same
