"""What an archive holds of a topic, read back from the committed Parquet files on S3 by nothing but pyarrow."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from archiving import Archive

ORDER = ("_partition", "_offset")


def archived(archive: Archive, topic: str, columns: Sequence[str]) -> pa.Table:
    """Return these columns of all rows of the newest snapshot, by partition and offset, after `headrace verify`."""
    archive.must("verify", topic)
    tables = []
    for url in archive.must("files", topic).stdout.split():
        bucket, _, key = url.removeprefix("s3://").partition("/")
        body = archive.servers.s3().get_object(Bucket=bucket, Key=key)["Body"].read()
        tables.append(pq.read_table(io.BytesIO(body), columns=[*columns, *ORDER]))
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in ORDER])
