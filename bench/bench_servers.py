"""A Kafka and an S3 server of a benchmark's own, in a temporary folder."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.local import Instance


@contextmanager
def running() -> Iterator[Instance]:
    """Start both and put their addresses into the environment; stopped and removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        instance = Instance(Path(folder) / "servers", env=os.environ)
        try:
            instance.up()
            os.environ.update(instance.env())
            yield instance
        finally:
            instance.down(purge=True)
