"""Names that an archiver has unless told otherwise. Light: whoever needs one loads nothing else with it."""

DEFAULT_GROUP = "headrace"
SCHEMA_TOPIC = "headrace.schemas"
