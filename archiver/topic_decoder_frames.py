"""Which frame each value of a batch begins with: found by comparing whole columns, without an object for each row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

SINGLE_OBJECT_MAGIC = b"\xc3\x01"
SINGLE_OBJECT_SIZE = 10  # magic, CRC-64-AVRO fingerprint
CONFLUENT_MAGIC = b"\x00"
CONFLUENT_SIZE = 5  # magic, schema id (big endian)


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """The rows of a batch that begin with `frame`. `positions` (int64, ascending) is None where that is all rows."""

    frame: bytes
    positions: np.ndarray | None


@dataclass(frozen=True, slots=True)
class FrameGroups:
    """A batch's rows by frame; those without a value, and those without a frame that we know, apart."""

    groups: list[FrameGroup]
    tombstones: np.ndarray
    unframed: np.ndarray


_NONE = np.empty(0, np.int64)


def group_by_frame(values: pa.BinaryArray) -> FrameGroups:
    """Group the rows of a batch by the frame of their value."""
    count = len(values)
    if not count:
        return FrameGroups([], _NONE, _NONE)
    starts, lengths, data = _layout(values)
    if not values.null_count and int(lengths.min()) >= SINGLE_OBJECT_SIZE:
        words = _unaligned(data, "<u8")[starts]
        tails = _unaligned(data, "<u2")[starts + 8]
        if (words == words[0]).all() and (tails == tails[0]).all():
            frame = words[:1].tobytes() + tails[:1].tobytes()
            if frame.startswith(SINGLE_OBJECT_MAGIC):
                return FrameGroups([FrameGroup(frame, None)], _NONE, _NONE)
    return _group_mixed(values, starts, lengths, data)


def _layout(values: pa.BinaryArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, offsets_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32, len(values) + 1, values.offset * 4)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.empty(0, np.uint8)
    return offsets[:-1].astype(np.int64), np.diff(offsets), data


def _unaligned(data: np.ndarray, dtype: str) -> np.ndarray:
    """View the bytes as one overlapping integer for each position, so that a gather reads whole frames."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(0, data.size - size + 1),), dtype, data.data, strides=(1,))


def _group_mixed(values: pa.BinaryArray, starts: np.ndarray, lengths: np.ndarray, data: np.ndarray) -> FrameGroups:
    present = values.is_valid().to_numpy(zero_copy_only=False)
    first = np.zeros(len(values), np.uint8)
    some = present & (lengths > 0)
    first[some] = data[starts[some]]
    single = present & (lengths >= SINGLE_OBJECT_SIZE) & (first == SINGLE_OBJECT_MAGIC[0])
    at = np.flatnonzero(single)
    single[at] = data[starts[at] + 1] == SINGLE_OBJECT_MAGIC[1]
    confluent = present & (lengths >= CONFLUENT_SIZE) & (first == CONFLUENT_MAGIC[0])
    groups = [
        FrameGroup(SINGLE_OBJECT_MAGIC + identity, positions)
        for identity, positions in _by_identity(data, starts, np.flatnonzero(single), len(SINGLE_OBJECT_MAGIC), "<u8")
    ]
    groups += [
        FrameGroup(CONFLUENT_MAGIC + identity, positions)
        for identity, positions in _by_identity(data, starts, np.flatnonzero(confluent), len(CONFLUENT_MAGIC), "<u4")
    ]
    groups.sort(key=_first_position)  # the schema that came first decides what a column is
    return FrameGroups(groups, np.flatnonzero(~present), np.flatnonzero(present & ~single & ~confluent))


def _first_position(group: FrameGroup) -> int:
    return 0 if group.positions is None else int(group.positions[0])


def _by_identity(
    data: np.ndarray, starts: np.ndarray, positions: np.ndarray, skip: int, dtype: str
) -> list[tuple[bytes, np.ndarray]]:
    if not len(positions):
        return []
    keys = _unaligned(data, dtype)[starts[positions] + skip]
    distinct, which = np.unique(keys, return_inverse=True)
    order = np.argsort(which, kind="stable")
    bounds = np.flatnonzero(np.diff(which[order])) + 1
    return [(key.tobytes(), part) for key, part in zip(distinct, np.split(positions[order], bounds), strict=True)]
