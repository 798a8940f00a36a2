"""What the producer's outer calls raise. emit() raises none of these.

Exception
- KafkaUnreachable: no broker answered in time
- UnknownTopic: the topic does not exist
"""


class KafkaUnreachable(Exception):
    """No broker answered in time; the text names the bootstrap servers and what was being done."""


class UnknownTopic(Exception):
    """The topic does not exist; the text says how to create it."""
