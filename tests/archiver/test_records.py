"""Record batches from Python values."""

import numpy as np
import pytest
from format_v1 import records_of

from headrace.archiver.records import HEADERS_TYPE, RECORD_SCHEMA, Headers, headers_array, record_batch


def test_null_and_empty_stay_apart() -> None:
    """Null and empty keys, values and header values are different; order and duplicates of headers are kept."""
    headers: list[Headers | None] = [[("b", None), ("a", b""), ("b", b"1")], [("", b"\x00")]]
    batch = record_batch([0, 1], [5, 6], [-1, 2**62], [-1, 1], [None, b""], [b"", None], headers)
    assert batch.schema.equals(RECORD_SCHEMA)
    batch.validate(full=True)
    assert [(each["key"], each["value"], each["headers"]) for each in records_of(batch)] == [
        (None, b"", headers[0]),
        (b"", None, headers[1]),
    ]


@pytest.mark.parametrize("headers", [[None, None], [[], None], [None, []], [[], []]])
def test_no_headers_are_the_empty_list(headers: list[list[tuple[str, bytes | None]] | None]) -> None:
    """None and the empty list both mean no headers, and become the empty list, never null."""
    array = headers_array(headers)
    assert array.type.equals(HEADERS_TYPE)
    assert array.to_pylist() == [[], []]


def test_numpy_columns_are_taken_as_they_are() -> None:
    """Numbers may come as numpy arrays."""
    numbers = np.arange(3)
    batch = record_batch(
        numbers.astype(np.int32), numbers, numbers, numbers.astype(np.int8), [b""] * 3, [b""] * 3, [None] * 3
    )
    assert batch.column("offset").to_pylist() == [0, 1, 2]


def test_an_empty_batch_is_a_batch() -> None:
    """No records at all make a batch of no rows."""
    assert record_batch([], [], [], [], [], [], []).num_rows == 0


def test_columns_of_different_length_are_refused() -> None:
    """A batch can't be made from columns that don't fit together."""
    with pytest.raises(ValueError, match="length"):
        record_batch([0], [0, 1], [0], [0], [None], [None], [None])
