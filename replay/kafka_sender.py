"""Sends records into a topic exactly once: transactions that carry the records and the progress together."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Producer

from .errors import KafkaUnusable, TargetUnfit
from .kafka_progress import Progress, group_metadata, group_of, offsets_of
from .kafka_target import Target
from .pieces import byte_list

TRANSACTION_RECORDS_MAX = 100_000
TRANSACTION_BYTES_MAX = 32 << 20
TRANSACTION_AGE_S_MAX = 5.0  # of a slow replay: readers see what was sent at most so late, and a kill costs no more
TRANSACTION_TIMEOUT_S = 300
DELIVERY_TIMEOUT_S = 60
CONTACT_TIMEOUT_S = 15
COMMIT_TIMEOUT_S = 90
COMMIT_ATTEMPTS_MAX = 5
FULL_QUEUE_POLL_S = 0.05
FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
UNFIT = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD}


class KafkaSender:
    """One run of one replay. Making it fences any other run of the same replay; close() leaves nothing open.

    All methods raise KafkaUnusable, or TargetUnfit when the target refuses a record; what was not committed is then not
    visible to anybody. `sent` counts what was committed.
    """

    def __init__(
        self, kafka: Mapping[str, Any], replay: str, target: Target, *, monotonic: Callable[[], float]
    ) -> None:
        self._target = target
        self._monotonic = monotonic
        self._begun_s = 0.0
        self._open = False
        self._records = 0
        self._bytes = 0
        self._touched: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._progress: Progress | None = None
        self.sent = 0
        self._producer = Producer(
            {
                "log_level": 0,
                **kafka,
                "transactional.id": group_of(replay),
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_S * 1000,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1000,
                "acks": "all",
                "message.max.bytes": 1_000_000_000,  # what the archive holds was once accepted; the broker decides
                "batch.size": max(1, min(1_000_000, target.max_message_bytes * 9 // 10)),
                "linger.ms": 20,
                "compression.type": "zstd",
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.report.only.error": True,
                "error_cb": lambda _error: None,
            }
        )
        self._group: Any = None
        try:
            self._producer.init_transactions(CONTACT_TIMEOUT_S)
            self._group = group_metadata(kafka, replay)
        except KafkaException as error:
            self._refuse("beginning", error)

    def close(self) -> None:
        """Abort what is not committed."""
        if self._open:
            self._abort()
        with contextlib.suppress(KafkaException):  # a fenced client refuses everything; it holds nothing visible
            self._producer.purge()

    def begin(self, progress: Progress) -> None:
        """Note the replay's fixed points in Kafka before anything is sent, or take up progress found there."""
        self._progress = progress
        self._begin()
        self._touched = dict(progress.done)
        self._done = dict(progress.done)
        self.commit()

    def send(self, partition: int, records: pa.RecordBatch) -> None:
        """Send records (RECORD_SCHEMA) to a target partition; commits now and then. Call commit() at the end."""
        if not self._open:
            self._begin()
        self._produce(partition, records)
        self._done[partition] += records.num_rows
        self._touched[partition] = self._done[partition]
        self._records += records.num_rows
        self._bytes += records.nbytes
        full = self._records >= TRANSACTION_RECORDS_MAX or self._bytes >= TRANSACTION_BYTES_MAX
        if full or self._monotonic() - self._begun_s >= TRANSACTION_AGE_S_MAX:
            self.commit()

    def _produce(self, partition: int, records: pa.RecordBatch) -> None:
        topic, produce = self._target.topic, self._producer.produce
        keys, values = (byte_list(records.column(name)) for name in ("key", "value"))
        stamps = records.column("timestamp").to_numpy().tolist()
        column = records.column("headers")
        if len(column.flatten()):
            headers: list[Any] = [[(each["name"], each["value"]) for each in row] or None for row in column.to_pylist()]
            for value, key, stamp, pairs in zip(values, keys, stamps, headers, strict=True):
                try:
                    produce(topic, value, key, partition, timestamp=stamp, headers=pairs)
                except (BufferError, KafkaException) as error:
                    self._again(error, topic, value, key, partition, timestamp=stamp, headers=pairs)
        else:
            for value, key, stamp in zip(values, keys, stamps, strict=True):
                try:
                    produce(topic, value, key, partition, timestamp=stamp)
                except (BufferError, KafkaException) as error:
                    self._again(error, topic, value, key, partition, timestamp=stamp)
        self._producer.poll(0)

    def _again(self, error: Exception, topic: str, *content: Any, **more: Any) -> None:
        """Send a record that the client had no room for, once some are through."""
        while True:
            if isinstance(error, KafkaException):
                self._refuse(f"sending a record to {topic}", error)
            self._producer.poll(FULL_QUEUE_POLL_S)
            try:
                self._producer.produce(topic, *content, **more)
            except (BufferError, KafkaException) as problem:
                error = problem
            else:
                return

    def _begin(self) -> None:
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            self._refuse("beginning a transaction", error)
        self._open = True
        self._begun_s = self._monotonic()

    def commit(self) -> None:
        """Make what was sent visible, together with the progress."""
        if not self._open or self._progress is None:
            return
        try:
            self._producer.send_offsets_to_transaction(
                offsets_of(self._progress, self._target, self._touched), self._group, CONTACT_TIMEOUT_S
            )
            self._commit_transaction()
        except KafkaException as error:
            self._refuse("committing", error)
        self._open = False
        self.sent += self._records
        self._records = self._bytes = 0
        self._touched = {}

    def _commit_transaction(self) -> None:
        for attempt in range(COMMIT_ATTEMPTS_MAX):
            try:
                self._producer.commit_transaction(COMMIT_TIMEOUT_S)
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == COMMIT_ATTEMPTS_MAX - 1:
                    raise
            else:
                return

    def _abort(self) -> None:
        self._open = False
        try:
            self._producer.purge()
            self._producer.abort_transaction(CONTACT_TIMEOUT_S)
        except KafkaException:
            return  # the next run, or the broker after the transaction's timeout, aborts it

    def _refuse(self, doing: str, error: KafkaException) -> NoReturn:
        reason = error.args[0]
        if self._open:
            self._abort()
        if reason.code() in FENCED:
            raise KafkaUnusable(
                f"{doing} the replay into {self._target.topic}: another run of the same replay took over; let that one "
                "finish"
            ) from error
        if reason.code() in UNFIT:
            raise TargetUnfit(
                f"{self._target.topic} refuses a record: {reason.str()}. Raise its max.message.bytes or its "
                "message.timestamp limits, and run this again; it goes on where it was"
            ) from error
        raise KafkaUnusable(
            f"{doing} the replay into {self._target.topic}: {reason.str()}. Nothing of the last transaction is "
            "visible; run the same command again, it goes on where it was"
        ) from error
