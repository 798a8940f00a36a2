"""What a replay changes in records because it was asked to: headers stripped, or the record's origin added as headers.

Whatever is changed here makes the replay inexact, and its receipt says so.
"""

from dataclasses import dataclass

import pyarrow as pa

from headrace.archiver.records import RECORD_SCHEMA, Headers, headers_array

PROVENANCE_NAMES = ("headrace.topic", "headrace.partition", "headrace.offset")


@dataclass(frozen=True, slots=True)
class Transform:
    """`strip_headers` takes all headers away; `provenance` then adds where the record came from, as text."""

    strip_headers: bool = False
    provenance: bool = False

    def apply(self, topic: str, records: pa.RecordBatch) -> pa.RecordBatch:
        """Return the records (RECORD_SCHEMA) as they are to arrive; the same ones when nothing was asked for."""
        if not self.strip_headers and not self.provenance:
            return records
        rows: list[Headers] = [[] for _ in range(records.num_rows)]
        if not self.strip_headers:
            rows = [[(each["name"], each["value"]) for each in row] for row in records.column("headers").to_pylist()]
        if self.provenance:
            name = topic.encode()
            places = zip(records.column("partition").to_pylist(), records.column("offset").to_pylist(), strict=True)
            for row, (partition, offset) in zip(rows, places, strict=True):
                row.extend(zip(PROVENANCE_NAMES, (name, b"%d" % partition, b"%d" % offset), strict=True))
        columns = [*records.columns[:-1], headers_array(rows)]
        return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)

    def reasons(self) -> list[str]:
        """Return why the replay is not exact."""
        found = []
        if self.strip_headers:
            found.append("headers were taken away, as asked")
        if self.provenance:
            found.append(f"headers {', '.join(PROVENANCE_NAMES)} were added, as asked")
        return found
