"""The settings of whoever logs events: rows of the table that cli/setting_table.py completes."""

from .setting import Choice, Flag, Number, Setting, Text, Words
from .spool.limits import SpoolLimits

_LIMITS = SpoolLimits()
_MIB = 1 << 20

SECTIONS = ("kafka", "producer", "spool")
"""The sections of the file that EventLog.from_env() looks at; the others are of other programs."""

PRODUCER_SETTINGS = (
    Setting(
        "kafka.servers",
        Text("HOST:PORT[,...]"),
        "Kafka's bootstrap servers.",
        flag=("--kafka",),
        metavar="HOST:PORT[,...]",
        variable="HEADRACE_KAFKA",
    ),
    Setting(
        "producer.service",
        Text("a name"),
        "The service that logs.",
        flag=("--service",),
        variable="HEADRACE_SERVICE",
        unset="`headrace produce`: cli",
    ),
    Setting("producer.topic_prefix", Text(), "What topics' names begin with.", variable="HEADRACE_TOPIC_PREFIX"),
    Setting("producer.strict", Flag(), "Raise what does not fit.", default=False, variable="HEADRACE_STRICT"),
    Setting("producer.audit", Flag(), "Account for what was emitted.", default=False, variable="HEADRACE_AUDIT"),
    Setting("producer.statsd", Text("HOST:PORT"), "Send metrics to StatsD.", variable="HEADRACE_STATSD"),
    Setting(
        "producer.ship",
        Choice(("here", "separate")),
        "Who delivers: the app, or `headrace ship`.",
        default="here",
        variable="HEADRACE_SHIP",
    ),
    Setting(
        "producer.pii_key_file",
        Text("a path"),
        "Keys that personal fields are hashed with.",
        variable="HEADRACE_PII_KEY_FILE",
    ),
    Setting(
        "spool.folder",
        Text("a path"),
        "Where events wait on disk.",
        variable="HEADRACE_SPOOL",
        unset="they wait in memory",
    ),
    Setting(
        "spool.bytes_max", Number(_MIB, whole=True), "Bytes that a host's spool may take.", default=_LIMITS.bytes_max
    ),
    Setting("spool.age_s_max", Number(0.001), "Seconds after which events are dropped.", default=_LIMITS.age_s_max),
    Setting(
        "spool.free_bytes_min",
        Number(0, whole=True),
        "Bytes that stay free on the disk.",
        default=_LIMITS.free_bytes_min,
    ),
    Setting(
        "spool.segment_bytes", Number(64 << 10, whole=True), "Bytes of a segment file.", default=_LIMITS.segment_bytes
    ),
    Setting(
        "spool.dead_letter_bytes_max",
        Number(0, whole=True),
        "Bytes of a service's dead letters.",
        default=_LIMITS.dead_letter_bytes_max,
    ),
    Setting(
        "spool.classes",
        Words(("low", "normal", "high")),
        "Which event types are refused first and last.",
        default=dict(_LIMITS.classes),
    ),
)
