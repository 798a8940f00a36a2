"""Names that an archiver has unless told otherwise. Light: whoever needs one loads nothing else with it."""

DEFAULT_GROUP = "headrace"
SCHEMA_TOPIC = "headrace.schemas"
REPLAY_PREFIX = "headrace-replay-"
"""How a replay's group and transactional ids begin."""

READINGS = ("messages", "batches")
"""How Kafka can be read: see sources.py."""
READING = "batches"
