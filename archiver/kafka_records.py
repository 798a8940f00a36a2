"""The Kafka client's messages as columns: each message is asked as seldom as can be, since that is what costs most."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from .records import Headers, record_batch
from .source import Records, TopicPartition, Unreadable


def records_of(topic: str, messages: list[Message]) -> tuple[Records, list[Unreadable]]:
    """Turn messages of one topic, none of them an error, into columns; what the client cannot hand out comes apart."""
    headers, faults = _headers(messages)
    unreadable = [
        Unreadable(
            TopicPartition(topic, cast("int", messages[at].partition())), cast("int", messages[at].offset()), why
        )
        for at, why in faults.items()
    ]
    if faults:
        messages = [message for at, message in enumerate(messages) if at not in faults]
        headers = [each for at, each in enumerate(headers) if at not in faults]
    # Pairs of type and time, one after the other: a generator over the pairs would cost as much as all other columns.
    stamps = np.fromiter(chain.from_iterable(map(Message.timestamp, messages)), np.int64, 2 * len(messages))
    partitions = np.fromiter(map(Message.partition, messages), np.int32, len(messages))
    batch = record_batch(
        partitions,
        np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
        stamps[1::2],
        # librdkafka counts from 0 what Kafka's protocol counts from -1.
        (stamps[::2] - 1).astype(np.int8),
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        headers,
    )
    # The last message of each partition carries its newest leader epoch.
    last = np.full(int(partitions.max(initial=-1)) + 1, -1)
    last[partitions] = np.arange(len(messages))  # of several values for one place the last one stays
    epochs = {p: messages[last[p]].leader_epoch() for p in np.flatnonzero(last >= 0).tolist()}
    leader_epochs = {partition: -1 if epoch is None else epoch for partition, epoch in epochs.items()}
    return Records(topic, batch, leader_epochs), unreadable


def joined(parts: Sequence[Records]) -> Records:
    """Return records of one topic that came one after the other as one."""
    if len(parts) == 1:
        return parts[0]
    leader_epochs = {partition: epoch for part in parts for partition, epoch in part.leader_epochs.items()}
    return Records(parts[0].topic, pa.concat_batches([part.batch for part in parts]), leader_epochs)


def _headers(messages: list[Message]) -> tuple[list[Headers | None], dict[int, str]]:
    """Return each message's headers, and by index why those of some cannot be had.

    Kafka takes any bytes as a header's name, the client only gives out names in UTF-8: for others it raises, once; when
    it is asked again it may say that there are none. So each message is asked exactly once.
    """
    headers: list[Headers | None] = []
    faults: dict[int, str] = {}
    todo = map(Message.headers, messages)
    while len(headers) < len(messages):
        try:
            headers.extend(cast("Iterator[Headers | None]", todo))
        except (SystemError, UnicodeDecodeError) as error:
            name = error.__cause__ if isinstance(error.__cause__, UnicodeDecodeError) else error
            shown = name.object.hex() if isinstance(name, UnicodeDecodeError) else "unknown"
            faults[len(headers)] = f"a header's name is not UTF-8; its bytes are {shown}"
            headers.append(None)
    return headers, faults
