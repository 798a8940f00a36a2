"""A Spark frame over exactly the committed files of a snapshot; Spark's own Parquet reader distributes the work."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import NothingChecked
from .fsspec_store import FsspecStore
from .loading import object_url
from .selection import parse_selection
from .snapshots import snapshot_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def spark(
    session: "SparkSession",
    topic: str,
    *,
    archive: str,
    at: int | None = None,
    since: int | None = None,
    dt: str | Sequence[str] = (),
    **options: Any,
) -> "DataFrame":
    """Return a topic's data rows at a snapshot as a frame with `dt`, columns united over all files.

    `at`, `since`: log entries, as for `headrace files`; `dt`: dates. `options` go to the filesystem that the log is
    read with; Spark reads the files itself, by s3a:// where they are on S3. Digests are not looked at: that is what
    `headrace verify` does. Raises NothingChecked when there is no file, and what snapshot_files() raises.
    """
    store = FsspecStore(archive, **options)
    dates = parse_selection(dates=[dt] if isinstance(dt, str) else dt).dates
    found = snapshot_files(store, topic, at=at, since=since, dates=dates, kinds=("data",))
    if not found.files:
        raise NothingChecked(f"{topic} has no data files in the selection at snapshot {found.snapshot}")
    files = [_for_spark(object_url(store, each.file.key)) for each in found.files]
    reader = session.read.option("mergeSchema", "true").option(
        "basePath", _for_spark(f"{store.url}/data/topic={topic}")
    )
    return reader.parquet(*files)


def _for_spark(url: str) -> str:
    return f"s3a://{url.removeprefix('s3://')}" if url.startswith("s3://") else url
