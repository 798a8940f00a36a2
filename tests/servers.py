"""The real Kafka and the real S3 server that the test session runs against, and what tests ask of them.

`HEADRACE_TEST_DIR` names the folder of an instance that runs already (`headrace local up --detach --dir D`); it is then
used and left running, which saves the seconds of starting while one develops.
"""

import fcntl
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.local import Instance

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


_PREFIX = "headrace-test-"


class Servers:
    """A running instance: its addresses, and fresh names on it that no other test uses."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.env = instance.env()
        self.kafka = self.env["HEADRACE_KAFKA"]
        self._admin = AdminClient({"bootstrap.servers": self.kafka})
        # One instance may serve several sessions at once, so names hold a random part.
        self._session = uuid4().hex[:8]
        self._count = itertools.count(1)
        self._s3 = instance.s3.client()
        self.bucket = self.new_bucket()

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._session}-{next(self._count)}"

    def s3(self) -> "S3Client":
        """Return the session's boto3 client for the S3 server; it may be used by many threads."""
        return self._s3

    def new_topic(self, partitions: int = 1, config: Mapping[str, str] | None = None, name: str | None = None) -> str:
        """Create a topic and return its name, which no other test has when none is given."""
        topic = name or self._name("t")
        made = self._admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config or {}))])
        made[topic].result(timeout=120)
        return topic

    def new_bucket(self) -> str:
        """Create a bucket and return its name."""
        bucket = self._name("b")
        self.s3().create_bucket(Bucket=bucket)
        return bucket

    def new_prefix(self) -> str:
        """Return a key prefix in `self.bucket` that no other test uses, without slashes at its ends."""
        return self._name("p")

    @property
    def store_url(self) -> str:
        """An `s3://bucket/prefix` that no other test uses: another one each time."""
        return f"s3://{self.bucket}/{self.new_prefix()}"


@contextmanager
def running(environ: Mapping[str, str]) -> Iterator[Servers]:
    """Yield servers for a test session, stopped and removed at its end, or those that HEADRACE_TEST_DIR names."""
    named = environ.get("HEADRACE_TEST_DIR")
    if named:
        instance = Instance(named, env=environ)
        instance.up()
        yield Servers(instance)
        return
    base = Path(tempfile.gettempdir())
    sweep(base)
    with _owned_folder(base) as folder:
        instance = Instance(folder / "i", env=environ)
        try:
            instance.up()
            yield Servers(instance)
        finally:
            instance.down(purge=True)


def sweep(base: Path) -> None:
    """Stop and remove the servers of sessions that were killed: those whose lock nobody holds any more."""
    for folder in base.glob(f"{_PREFIX}*"):
        try:
            with (folder / "owner").open("r+") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Instance(folder / "i").down(purge=True)
                shutil.rmtree(folder)
        except OSError:
            continue  # a living session's, or another user's


@contextmanager
def _owned_folder(base: Path) -> Iterator[Path]:
    new = Path(tempfile.mkdtemp(prefix="headrace-new-", dir=base))
    with (new / "owner").open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        folder = new.rename(base / new.name.replace("headrace-new-", _PREFIX))  # locked before `sweep` can see it
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
