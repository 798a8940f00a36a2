"""Reads a batch of Avro values with DataFusion's vectorised reader, as one block of an Object Container File.

The values are laid end to end, frames and all: the schema in the file's header has a fixed of the frame's size before
the record's own fields. The file lives in memory (a memfd; a temporary file where there is none) for one call.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from .arrow_parts import offsets_of
from .columns import ForeignArray, adopt
from .nodes import Record, plain_schema

_SYNC = b"headrace-archive"  # 16 bytes that close the header and the block; any will do
_MAGIC = b"Obj\x01"


class BlockRejected(Exception):
    """The reader could not make one row of each value. Says nothing about which value is to blame."""


class BlockReader:
    """Reads blocks of values that consist of `frame` and one record each."""

    def __init__(self, root: Record, frame: bytes) -> None:
        self._root = root
        self._frame = frame
        self._schema = pa.schema(list(root.arrow))
        names: list[str] = []
        plain = plain_schema(root, names)
        if frame:
            plain["fields"].insert(0, {"name": "frame", "type": {"type": "fixed", "name": "F", "size": len(frame)}})
        text = json.dumps(plain).encode()
        metadata = b"\x04" + _sized(b"avro.schema") + _sized(text) + _sized(b"avro.codec") + _sized(b"null") + b"\x00"
        self._header = _MAGIC + metadata + _SYNC
        self._foreign_schema: pa.Schema | None = None  # what the reader makes of the header: the same for each block

    def read(self, values: pa.BinaryArray) -> pa.RecordBatch:
        """Return one row a value. Raises BlockRejected.

        The rows may still be wrong: a record that runs on into the next value can come out as rows, too. The caller
        proves them. At least one value, each of at least one byte.
        """
        rows = len(values)
        offsets = offsets_of(values)
        data = memoryview(values.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])]
        # The block declares more rows than it can hold: the reader would spin for ever on a block that has bytes left
        # after its last row. As it is, it stops at the data's end, and a batch of `rows` keeps it from asking for more.
        count = _number(rows + len(data))
        with _file(self._header + count + _number(len(data)), data, _SYNC) as path:
            batches = self._read(path, rows)
        if sum(batch.num_rows for batch in batches) != rows or len(batches) != 1:
            raise BlockRejected(f"{rows} values came out as another number of rows")
        return self._adopted(batches[0])

    def _read(self, path: str, rows: int) -> list[pa.RecordBatch]:
        # A context for each call: it keeps what it learnt about a path, and these paths are used again for other data.
        context = SessionContext(_config().with_batch_size(rows))
        try:
            frame = context.read_avro(path, schema=self._foreign_schema, file_extension="")
            self._foreign_schema = frame.schema()
            return [batch for batch in frame.collect() if batch.num_rows]
        except BaseException as error:
            # DataFusion raises plain Exception; a panic in it arrives as a BaseException of this name.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise BlockRejected(str(error)[:200]) from error
            raise

    def _adopted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = batch.columns
        if self._frame:
            frames = arrays.pop(0)
            if frames.buffers()[1].to_pybytes()[: len(frames) * len(self._frame)] != self._frame * len(frames):
                raise BlockRejected("the rows do not begin where the values do")
        try:
            adopted = [adopt(node, array) for (_, node), array in zip(self._root.fields, arrays, strict=True)]
        except ForeignArray as error:
            raise BlockRejected(str(error)) from error
        return pa.RecordBatch.from_arrays(adopted, schema=self._schema)


def _config() -> SessionConfig:
    """One thread, and no planning beyond the scan: there is nothing to plan, and it takes as long as 1,000 rows."""
    config = SessionConfig().with_target_partitions(1)
    return config.set("datafusion.optimizer.max_passes", "0").set("datafusion.execution.collect_statistics", "false")


@contextmanager
def _file(*parts: bytes | memoryview) -> Iterator[str]:
    """Give the path of a file that holds the parts, until the context ends."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("headrace-avro"), "wb") as file:
            file.writelines(parts)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="headrace-avro-") as named:
            named.writelines(parts)
            named.flush()
            yield named.name


def _number(number: int) -> bytes:
    """Encode a length or a count."""
    number <<= 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _sized(text: bytes) -> bytes:
    return _number(len(text)) + text
