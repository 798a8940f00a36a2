"""The servers that a chaos run breaks: a broker, and an S3 server whose disk can be full, as temporary files' can."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_oracle import TopicView, read_topic

from headrace.archiver.group_care import members_of
from headrace.archiver.source import TopicPartition as Place
from headrace.local import Instance, LocalError

STORE_MIB = 1024
TMP_MIB = 24
START_KEPT_S = 5.0  # several times the interval at which the local broker writes down where its logs start
PERSIST_S = 300.0
RETRY_S = 0.5

T = TypeVar("T")


class SmallDisk:
    """A tmpfs of its own, so that it alone can be full. Only root may mount one, also in a namespace of its own."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True)

    @staticmethod
    def possible(folder: Path) -> bool:
        """Whether this process may mount one."""
        try:
            SmallDisk(folder, 1).remove()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no free byte for as long as the block lasts."""
        filler = self.folder / "filler"
        stop = threading.Event()

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                while not stop.is_set():
                    try:
                        while True:
                            file.write(bytes(1 << 16))
                    except OSError:
                        stop.wait(0.02)  # what others free is taken again

        thread = threading.Thread(target=fill, name="filler")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            filler.unlink(missing_ok=True)

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


class Rig:
    """One instance in a folder, with its admin client. `disks`: whether small disks can be had."""

    def __init__(self, folder: Path, *, disks: bool) -> None:
        self.folder = folder
        self._mounts: list[SmallDisk] = []
        self.store_disk = self._disk("instance/s3/data", STORE_MIB) if disks else None
        self.tmp_disk = self._disk("tmp", TMP_MIB) if disks else None
        # A broker that is started over and over: its classes are loaded from a file that the first one to end leaves.
        java = ["-XX:+IgnoreUnrecognizedVMOptions", "-XX:TieredStopAtLevel=1", "-XX:+AutoCreateSharedArchive"]
        java.append(f"-XX:SharedArchiveFile={folder.absolute() / 'kafka.jsa'}")
        self.instance = Instance(folder / "instance", env=os.environ, java_options=java)
        self._broker = threading.Lock()  # held while the broker is broken, and where it must not be

    def _disk(self, name: str, mib: int) -> SmallDisk:
        self._mounts.append(SmallDisk(self.folder / name, mib))
        return self._mounts[-1]

    def up(self) -> None:
        self.instance.up()
        self.env = self.instance.env()
        self.kafka = self.env["HEADRACE_KAFKA"]
        self.bucket = self.env["HEADRACE_ARCHIVE"].removeprefix("s3://").partition("/")[0]
        self.s3 = self.instance.s3.client(timeout_s=60, retries=8)
        quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
        self._admin = AdminClient({"bootstrap.servers": self.kafka, **quiet})

    def down(self) -> None:
        self.instance.down()
        for disk in self._mounts:
            disk.remove()

    def break_broker(self, how: str) -> None:
        """End the broker by SIGKILL or in the proper way, and start it again."""
        with self._broker:
            for attempt in (1, 2, 3):
                try:
                    if how == "kill":
                        self.instance.kill_kafka()
                        self.instance.start_kafka()
                    else:
                        self.instance.restart_kafka()
                except LocalError:
                    if attempt == 3:
                        raise
                else:
                    return

    def wait_for_broker(self) -> None:
        """Wait until a broker that is being broken is up again."""
        with self._broker:
            return

    def nobodys(self, group: str, topic: str, partitions: int) -> list[int]:
        """Return the partitions of a topic that no member of a group has, although it is stable; else nothing."""

        def ask() -> list[int]:
            members = members_of(self._admin, group, 10)
            if members is None:
                return []
            given = set().union(*members.values())
            return [number for number in range(partitions) if Place(topic, number) not in given]

        return persist(ask, f"asking who has what of {topic}")

    # Topics. The broker may be down at any moment, so each is tried until it is answered.

    def create(self, topic: str, partitions: int) -> str:
        """Create a topic and return its id."""

        def create() -> None:
            try:
                self._admin.create_topics([NewTopic(topic, partitions, 1)], request_timeout=10)[topic].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

        persist(create, f"creating {topic}")
        persist(lambda: self._see(topic, partitions), f"seeing {topic}")
        return self.topic_id(topic)

    def topic_id(self, topic: str) -> str:
        def ask() -> str:
            described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=10)[topic].result()
            return str(described.topic_id)

        return persist(ask, f"asking for the id of {topic}")

    def _see(self, topic: str, partitions: int) -> None:
        found = self._admin.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None or len(found.partitions) != partitions:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

    def delete(self, topic: str) -> None:
        """Delete a topic, and return when it is gone."""

        def delete() -> None:
            with suppress(KafkaException):
                self._admin.delete_topics([topic], request_timeout=10)[topic].result()
            if topic in self._admin.list_topics(timeout=10).topics:
                raise KafkaException(KafkaError(KafkaError.TOPIC_EXCEPTION))

        persist(delete, f"deleting {topic}")

    def read(self, topic: str) -> TopicView:
        """Read all that a topic still shows."""
        with self._broker:
            return persist(lambda: read_topic(self.kafka, topic), f"reading {topic}")

    def delete_records(self, topic: str, before: dict[int, int]) -> None:
        """Have Kafka forget all records of partitions below an offset, as retention does, and for good.

        A broker that is killed right after it may have them again: it writes down only now and then where a log starts.
        """

        def delete() -> None:
            wanted = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
            for future in self._admin.delete_records(wanted, request_timeout=10, operation_timeout=10).values():
                future.result()

        with self._broker:
            persist(delete, f"deleting records of {topic}")
            threading.Event().wait(START_KEPT_S)


def persist(action: Callable[[], T], what: str) -> T:
    """Try until Kafka answers."""
    until = time.monotonic() + PERSIST_S
    never = threading.Event()
    while True:
        try:
            return action()
        except (KafkaException, KeyError, AssertionError) as error:
            if time.monotonic() > until:
                raise AssertionError(f"{what}: no success in {PERSIST_S} s; last: {error}") from error
            never.wait(RETRY_S)
