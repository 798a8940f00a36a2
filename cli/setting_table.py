"""All settings: the rows of the producer's table and those of the other verbs, in the order of the documentation.

What one run is asked for (which topic, which dates, whether to delete) is no setting: it is said on the command line.
"""

from collections.abc import Mapping

from headrace.archiver.default_names import DEFAULT_GROUP, READING, READINGS, SCHEMA_TOPIC
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.s3_settings import SSE_KINDS
from headrace.producer.setting import Choice, Flag, Names, Number, Setting, Text
from headrace.producer.setting_table import PRODUCER_SETTINGS

from .listen_at import ListenAt
from .setting_table_monitor import ALERT_SETTINGS

MEMORY_MIB_MIN = 96
FLUSH_INTERVAL_S_MAX = 86_400.0
_DEFAULT = Thresholds()


def _seconds(key: str, about: str, default: float, flag: str, name: str, least: float | None = None) -> Setting:
    return Setting(key, Number(least), about, default=default, flag=(flag, name), metavar="S")


_STORE = (
    Setting(
        "store.url",
        Text("s3://BUCKET/PREFIX"),
        "Where the archive lies. Credentials and endpoint come from the usual AWS_... variables.",
        flag=("--archive", "archive_url"),
        metavar="s3://BUCKET/PREFIX",
        variable="HEADRACE_ARCHIVE",
    ),
    Setting(
        "store.endpoint_url",
        Text("a URL"),
        "An S3 server that is not Amazon's.",
        variable="AWS_ENDPOINT_URL_S3",
        others=("AWS_ENDPOINT_URL",),
    ),
    Setting("store.region", Text("a name"), "The bucket's region.", variable="AWS_DEFAULT_REGION"),
    Setting(
        "store.profile",
        Text("a name"),
        "The profile in AWS's own files; its credential_process may be a program.",
        variable="AWS_PROFILE",
        others=("AWS_DEFAULT_PROFILE",),
    ),
    Setting(
        "store.credentials_file",
        Text("a path"),
        "A file of AWS credentials, by profile.",
        variable="AWS_SHARED_CREDENTIALS_FILE",
        unset="~/.aws/credentials",
    ),
    Setting(
        "store.ca_bundle",
        Text("a path"),
        "A PEM file with the authorities that sign the server's certificate.",
        flag=("--ca-bundle",),
        variable="AWS_CA_BUNDLE",
    ),
    Setting(
        "store.sse",
        Choice(SSE_KINDS),
        "Encrypt each object that is written: AES256 by S3's own key, aws:kms by a key of KMS.",
        flag=("--sse",),
        unset="what the bucket does",
    ),
    Setting(
        "store.sse_kms_key_id",
        Text("an id, ARN or alias"),
        "The key of KMS.",
        flag=("--sse-kms-key-id",),
        metavar="KEY",
        unset="the account's own",
    ),
    Setting(
        "store.bucket_owner",
        Text("an account of 12 digits"),
        "The AWS account that the bucket must belong to; S3 refuses every request otherwise.",
        flag=("--bucket-owner",),
        metavar="ACCOUNT",
    ),
)
"""Variables of the store that AWS has too are AWS's own, so that every library that reads the archive goes by them."""

_ARCHIVE = (
    Setting(
        "archive.topics",
        Names(),
        "A topic of headrace events. Repeat for several.",
        flag=("--topic", "topics"),
        metavar="T",
        unset="all event types that have a topic",
    ),
    Setting(
        "archive.raw_topics",
        Names(),
        "A topic of anything: archived byte for byte.",
        flag=("--raw", "raw_topics"),
        metavar="T",
    ),
    Setting("archive.workers", Number(1, 64, whole=True), "Processes; one a core.", default=1, flag=("--workers",)),
    Setting(
        "archive.group",
        Text("a name"),
        "The archiver's consumer group in Kafka.",
        default=DEFAULT_GROUP,
        flag=("--group",),
    ),
    Setting(
        "archive.instance",
        Text("a name"),
        "Static membership: this archiver's name in the group, the host's by default. A worker that is started again "
        "within 15 s gets its partitions back at once. Two archivers of one group need different names.",
        flag=("--instance",),
        metavar="NAME",
        unset="the host's name",
    ),
    Setting(
        "archive.flush_interval",
        Number(0, FLUSH_INTERVAL_S_MAX),
        "Commit at least so often.",
        default=60.0,
        flag=("--flush-interval",),
        metavar="SECONDS",
    ),
    Setting(
        "archive.flush_rows",
        Number(1, whole=True),
        "Commit a topic at so many.",
        default=1_000_000,
        flag=("--flush-rows",),
        metavar="ROWS",
    ),
    Setting(
        "archive.flush_mib",
        Number(1, whole=True),
        "Commit a topic at so much memory, or at 5/32 of --memory if that is less.",
        default=96,
        flag=("--flush-mib",),
        metavar="MIB",
    ),
    Setting(
        "archive.memory_mib",
        Number(MEMORY_MIB_MIN, whole=True),
        "What a worker may take beyond the bare process (about 190 MiB): queue, records and files in the making.",
        default=256,
        flag=("--memory", "--memory-mib", "memory_mib"),
        metavar="MIB",
    ),
    Setting(
        "archive.read",
        Choice(READINGS),
        "How Kafka is read: whole record batches, at a fraction of the CPU, or librdkafka's single messages. Where "
        "batches cannot be had with the connection's settings, messages are read, and the log says why.",
        default=READING,
        flag=("--read", "reading"),
    ),
    Setting(
        "archive.seal",
        Flag(),
        "Declare dates complete: a seal in the log, then _SUCCESS beside the files. By default yes, but not with "
        "--until-idle.",
        flag=("--seal/--no-seal",),
        unset="true, but not with --until-idle",
    ),
    Setting(
        "archive.seal_lateness",
        Number(0),
        "Seal a date so long after its end (UTC); rows that come later are marked late.",
        default=3600.0,
        flag=("--seal-lateness",),
        metavar="SECONDS",
    ),
    Setting(
        "archive.schema_topic",
        Text("a name"),
        "Where writer schemas are published.",
        default=SCHEMA_TOPIC,
        flag=("--schema-topic",),
    ),
    Setting(
        "archive.metrics", ListenAt(), "Serve what all workers do at /metrics, for Prometheus.", flag=("--metrics",)
    ),
    Setting(
        "archive.dashboard", ListenAt(), "Serve the page of `headrace dashboard` too.", flag=("--dashboard",)
    ),
)  # fmt: skip

_WATCHING = (
    Setting(
        "lag.topics",
        Names(),
        "Only this topic. Repeat for several.",
        flag=("--topic", "topics"),
        metavar="T",
        unset="all that are archived or could be",
    ),
    _seconds("lag.every", "With --watch: seconds.", 2.0, "--every", "every", 0.2),
    _seconds(
        "lag.warn_behind",
        "Seconds: unarchived records that are older are a warning.",
        _DEFAULT.behind_warning_s,
        "--warn-behind",
        "behind_warning_s",
    ),
    _seconds(
        "lag.critical_behind",
        "Seconds: unarchived records that are older are critical.",
        _DEFAULT.behind_critical_s,
        "--critical-behind",
        "behind_critical_s",
    ),
    _seconds(
        *(
            "lag.critical_loss",
            "Seconds: unarchived records that Kafka deletes sooner are critical.",
            _DEFAULT.loss_critical_s,
        ),
        *("--critical-loss", "loss_critical_s"),
    ),
    _seconds(
        *("lag.max_transaction", "Seconds: a transaction may stay open for so long.", _DEFAULT.transaction_s),
        *("--max-transaction", "transaction_s"),
    ),
    Setting(
        "dashboard.listen",
        ListenAt(),
        "Where the page is served.",
        default="127.0.0.1:8477",
        flag=("--listen",),
    ),
    Setting(
        "dashboard.monitor",
        Text("a path or a URL"),
        "Show the rules of a monitor too: the file of its --charts, or its http://HOST:PORT/charts.json.",
        flag=("--monitor",),
        metavar="FILE|URL",
    ),
    _seconds("dashboard.every", "Look so often: seconds.", 10.0, "--every", "every", 1),
    Setting(
        "exporter.listen",
        ListenAt(),
        "Where /metrics is served.",
        default="127.0.0.1:9477",
        flag=("--listen",),
    ),
    _seconds("exporter.every", "Look so often: seconds.", 15.0, "--every", "every", 1),
    Setting(
        "http.allow_hosts",
        Names(),
        "A name under which this is asked over HTTP, beside IP addresses and localhost. Repeat for several.",
        flag=("--allow-host", "allow_hosts"),
        metavar="NAME",
    ),
)

_OTHERS = (
    Setting(
        "ship.metrics",
        ListenAt(),
        "Serve metrics at /metrics, for Prometheus. Needs `headrace[metrics]`.",
        flag=("--metrics",),
    ),
    Setting(
        "ship.grace",
        Number(0),
        "How long to wait at the end for what is on its way to Kafka.",
        default=5.0,
        flag=("--grace", "grace_s"),
        metavar="SECONDS",
    ),
    Setting(
        "compact.rows_max",
        Number(2, whole=True),
        "Rows of a new file.",
        default=1_000_000,
        flag=("--rows-max",),
        metavar="ROWS",
    ),
    Setting(
        "compact.mib_max",
        Number(1, whole=True),
        "Of the files that become one. With --rows-max it bounds the memory that this takes.",
        default=64,
        flag=("--mib-max",),
        metavar="MIB",
    ),
    Setting(
        "local.kafka_home",
        Text("a path"),
        "Use the unpacked Kafka 4 in this folder, fetch nothing.",
        flag=("--kafka-home",),
        variable="KAFKA_HOME",
    ),
    Setting(
        "local.maven_url",
        Text("a URL"),
        "Fetch Kafka from this mirror.",
        flag=("--maven-url",),
        variable="HEADRACE_MAVEN_URL",
    ),
    Setting(
        "log.format",
        Choice(("human", "json")),
        "How it logs on standard error: json is an object a line.",
        default="human",
        flag=("--log-format",),
        variable="HEADRACE_LOG_FORMAT",
    ),
)

TABLE: tuple[Setting, ...] = (
    *PRODUCER_SETTINGS[:1],
    *_STORE,
    *_ARCHIVE,
    *_WATCHING,
    *ALERT_SETTINGS,
    *PRODUCER_SETTINGS[1:],
    *_OTHERS,
)
SETTINGS: Mapping[str, Setting] = {each.key: each for each in TABLE}
