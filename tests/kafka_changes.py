"""Plain values in plain topics, for tests that look at what Kafka does."""

from confluent_kafka import Producer


def produce(bootstrap: str, topic: str, values: list[bytes], partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value=value, partition=partition)
    assert producer.flush(30) == 0


def numbered(label: str, begin: int, end: int) -> list[bytes]:
    return [f"{label}{n}".encode() for n in range(begin, end)]
