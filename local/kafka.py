"""Apache Kafka in KRaft mode: one process that is broker and controller, with settings fit for development and tests.

Settings differ from a production broker's where waiting or memory is concerned (rebalance delay, cleaner and retention
intervals, small internal topics, small heap), never where the meaning of data is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from . import ports
from .errors import LocalError
from .process import Process, tail

STOP_GRACE_S = 15.0
_FORMAT_TIMEOUT_S = 60.0
_PRODUCER_ID_TIMEOUT_S = 10.0

# Not the caller's environment: JAVA_TOOL_OPTIONS or KAFKA_OPTS of other work must not change this broker.
_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

_SETTINGS = """\
# Written by headrace local at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{broker}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=data
# A broker that was killed is let in again after this time.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A typing error in a topic's name should be an error.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# Compaction and retention act within seconds, so that tests can wait for them.
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=2000
# What DeleteRecords removed stays removed when the broker is killed more than a second later.
log.flush.start.offset.checkpoint.interval.ms=1000
log.segment.delete.delay.ms=1000
log.index.size.max.bytes=2097152
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""

_LOGGING = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <RollingFile name="file" fileName="${sys:headrace.local}/logs/kafka.log"
                 filePattern="${sys:headrace.local}/logs/kafka.%i.log">
      <PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10 MB"/></Policies>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
    <Logger name="org.apache.kafka.clients" level="WARN"/>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class KafkaPorts:
    """The two ports that the process listens on, both on 127.0.0.1."""

    broker: int
    controller: int


class KafkaServer:
    """The broker of one instance. `folder` is the instance's; files lie in `kafka/`, `run/` and `logs/` under it.

    `more_settings`: lines for server.properties, over those that stand there; `format_options`: more words for the
    formatting of the data folder (the first users' passwords).
    """

    name = "Kafka"

    def __init__(
        self,
        folder: Path,
        listen: KafkaPorts,
        cluster_id: str,
        *,
        java_options: Sequence[str] = (),
        more_settings: str = "",
        format_options: Sequence[str] = (),
    ) -> None:
        self.listen = listen
        self._more_settings = more_settings
        self._format_options = tuple(format_options)
        self._java_options = tuple(java_options)
        self._folder = folder
        self._home = folder / "kafka"
        self._cluster_id = cluster_id
        self._marker = f"-Dheadrace.local={folder}"
        self.process = Process(self.name, self._marker, folder / "run" / "kafka.pid", folder / "logs" / "kafka.out")

    @property
    def bootstrap(self) -> str:
        """The address that clients are given."""
        return f"127.0.0.1:{self.listen.broker}"

    def start(self, java: Path, jars: Sequence[Path]) -> None:
        """Write the settings, format the data folder the first time, and start; returns before it is ready."""
        self._home.mkdir(parents=True, exist_ok=True)
        settings = self._home / "server.properties"
        ports_taken = _SETTINGS.format(broker=self.listen.broker, controller=self.listen.controller)
        settings.write_text(ports_taken + self._more_settings)
        (self._home / "log4j2.xml").write_text(_LOGGING)
        formatted = self._home / "formatted"
        if not formatted.exists():
            self._format(java, jars)
            formatted.touch()
        self.process.start(self._command(java, jars, ["kafka.Kafka", settings.name]), self._home, _ENV)

    def _format(self, java: Path, jars: Sequence[Path]) -> None:
        # --ignore-formatted: a format that was killed half-way has written some of its files.
        arguments = ["kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", "server.properties"]
        command = self._command(java, jars, [*arguments, "--ignore-formatted", *self._format_options])
        code = self.process.run(command, self._home, _ENV, _FORMAT_TIMEOUT_S)
        if code != 0:
            shown = tail(self.process.log_file, 15)
            raise LocalError(f"formatting {self._home / 'data'} for Kafka failed (exit code {code}):\n{shown}")

    def _command(self, java: Path, jars: Sequence[Path], program: Sequence[str]) -> list[str]:
        return [
            str(java),
            self._marker,
            "-Dlog4j2.configurationFile=log4j2.xml",
            "-Djava.awt.headless=true",
            "-Xms128m",
            "-Xmx768m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            *self._java_options,
            "-cp",
            ":".join(str(jar) for jar in jars),
            *program,
        ]

    def why_dead(self) -> str:
        """Return the last lines of the broker's log, and of what it printed."""
        return f"{tail(self._folder / 'logs' / 'kafka.log', 10)}\n{self.process.log_tail(5)}"

    def ready(self, timeout_s: float) -> bool:
        """Say whether the broker answers a metadata request within `timeout_s` and counts itself as alive."""
        if not ports.answers(self.listen.broker):
            return False
        quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None}
        client = AdminClient({"bootstrap.servers": self.bootstrap, "socket.timeout.ms": 2000, **quiet})
        try:
            return len(client.list_topics(timeout=timeout_s).brokers) == 1
        except KafkaException:
            return False

    def gives_producer_ids(self) -> bool:
        """Say whether idempotent and transactional producers can begin: a broker that just started refuses for a while.

        A short-lived program would lose its events to that: it ends before its producer was let in.
        """
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "transactional.id": "headrace-local-ready",
            "log_level": 0,
            "error_cb": lambda _: None,
        }
        try:
            Producer(config).init_transactions(_PRODUCER_ID_TIMEOUT_S)
        except KafkaException:
            return False
        return True
