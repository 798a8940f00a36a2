"""A real broker of its own with TLS, SCRAM, client certificates and the authorizer on, and what tests ask of it.

Three listeners: one in plain text whose (anonymous) user is the administrator; SASL_SSL with SCRAM-SHA-512; SSL with
client certificates. The certificate is made out to `localhost` alone, so that 127.0.0.1 is a wrong host name.
"""

import os
import random
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic
from servers import Servers

from headrace.archiver.kafka_acls import ROLES, Grant
from headrace.local import java, ports
from headrace.local.jars import fetch, read_lock
from headrace.local.kafka import KafkaPorts, KafkaServer
from headrace.local.places import default_cache

LOCK = Path(__file__).with_name("kafka_tools.lock")

START_TIMEOUT_S = 240.0
_SETTINGS = """
listeners=BROKER://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SCRAM://127.0.0.1:{scram},MTLS://127.0.0.1:{mtls}
advertised.listeners=BROKER://127.0.0.1:{plain},SCRAM://localhost:{scram},MTLS://localhost:{mtls}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mtls.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.crt
"""


def password_of(role: str) -> str:
    """The role's password, which no message may hold."""
    return f"pass-word-of-{role}"


class Certificates:
    """An authority of its own and what it has signed, as files in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.ca = folder / f"{name}.crt"
        self._ca_key = folder / f"{name}.key"
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self._ca_key, "-out", self.ca),
        )

    def sign(self, name: str, alternative: str) -> tuple[Path, Path]:
        """Return certificate and key made out to CN=name."""
        key, request, made = (self._folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        extension = self._folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={alternative}\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial"),
            *("-days", "2", "-out", made, "-extfile", extension),
        )
        (self._folder / f"{name}.both").write_text(key.read_text() + made.read_text())
        return made, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=120)


class SecuredKafka:
    """A running broker: addresses, the environment of each role, grants. `jars`: Kafka's own."""

    def __init__(
        self, folder: Path, listen: Sequence[int], certificates: Certificates, jars: Sequence[Path] = ()
    ) -> None:
        self.folder = folder
        self._jars = tuple(jars)
        self.plain, self.scram, self.mtls = (f"{host}:{port}" for host, port in zip(
            ("127.0.0.1", "localhost", "localhost"), listen, strict=True))  # fmt: skip
        self.scram_by_address = f"127.0.0.1:{listen[1]}"
        self.certificates = certificates
        self.admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})

    def env(self, role: str) -> dict[str, str]:
        """The variables of a role that logs in by password, which lies in a file."""
        secret = self.folder / f"{role}.password"
        secret.write_text(password_of(role) + "\n")
        return {
            "HEADRACE_KAFKA": self.scram,
            "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "HEADRACE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "HEADRACE_KAFKA_SASL_USERNAME": role,
            "HEADRACE_KAFKA_SASL_PASSWORD_FILE": str(secret),
            "HEADRACE_KAFKA_SSL_CA_LOCATION": str(self.certificates.ca),
            "HEADRACE_KAFKA_BROKER_ADDRESS_FAMILY": "v4",
        }

    def config(self, role: str) -> dict[str, Any]:
        """The same as librdkafka's settings."""
        return {
            "bootstrap.servers": self.scram,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": role,
            "sasl.password": password_of(role),
            "ssl.ca.location": str(self.certificates.ca),
            "broker.address.family": "v4",
            "log_level": 0,
        }

    def env_by_certificate(self, name: str) -> dict[str, str]:
        """The variables of a user that shows a certificate: User:CN=name."""
        certificate, key = self.certificates.sign(name, f"DNS:{name}")
        return {
            "HEADRACE_KAFKA": self.mtls,
            "HEADRACE_KAFKA_SECURITY_PROTOCOL": "ssl",
            "HEADRACE_KAFKA_SSL_CA_LOCATION": str(self.certificates.ca),
            "HEADRACE_KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
            "HEADRACE_KAFKA_SSL_KEY_LOCATION": str(key),
            "HEADRACE_KAFKA_BROKER_ADDRESS_FAMILY": "v4",
        }

    def new_topic(self, name: str, **config: str) -> str:
        """Make a topic of one partition."""
        made = self.admin.create_topics([NewTopic(name, 1, 1, config=config)], request_timeout=60)
        made[name].result(timeout=120)
        return name

    def grant(self, grants: Sequence[Grant], user: str) -> None:
        """Allow what is listed."""
        for future in self.admin.create_acls([_binding(each, user) for each in grants]).values():
            future.result(timeout=120)

    def run_acls(self, command: str) -> str:
        """Run a printed kafka-acls.sh command by the class of Kafka that the script starts; return what it said.

        The script is in Kafka's distribution only, which is not on Maven Central; the class is.
        """
        script, *words = shlex.split(command)
        assert script == "kafka-acls.sh"
        tools = fetch(default_cache(os.environ), lambda _: None, jars=read_lock(LOCK.read_text()), what="Kafka's tools")
        classes = ":".join(map(str, (*tools, *self._jars)))
        java_command = [str(java.find(None, {})), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes]
        done = subprocess.run(
            [*java_command, "org.apache.kafka.tools.AclCommand", *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def granted_to(self, user: str) -> set[Grant]:
        """Return what the broker says a user is allowed."""
        any_name: Any = None
        anything = AclBindingFilter(
            *(ResourceType.ANY, any_name, ResourcePatternType.ANY, user, any_name),
            *(AclOperation.ANY, AclPermissionType.ANY),
        )
        operations = {operation: name for name, operation in _OPERATIONS.items()}
        kinds = {kind: name for name, kind in _KINDS.items()}
        return {
            Grant(
                *(operations[each.operation], kinds[each.restype], each.name),
                each.resource_pattern_type == ResourcePatternType.PREFIXED,
            )
            for each in self.admin.describe_acls(anything).result(timeout=120)
        }

    def reader(self, topic: str) -> Consumer:
        """Return a consumer at the start of a topic of one partition, which tells of its end; as the administrator."""
        group = {"group.id": "reader", "enable.partition.eof": True}
        consumer = Consumer({"bootstrap.servers": self.plain, "log_level": 0, **group})
        consumer.assign([TopicPartition(topic, 0, 0)])
        return consumer

    def revoke(self, user: str, topic: str) -> None:
        """Take all that a user is allowed on a topic."""
        any_host: Any = None
        literal, any_operation = ResourcePatternType.LITERAL, AclOperation.ANY
        wanted = AclBindingFilter(
            ResourceType.TOPIC, topic, literal, user, any_host, any_operation, AclPermissionType.ANY
        )
        for future in self.admin.delete_acls([wanted]).values():
            assert future.result(timeout=120), "there was nothing to revoke"


_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


def _binding(grant: Grant, user: str) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if grant.prefixed else ResourcePatternType.LITERAL
    return AclBinding(
        *(_KINDS[grant.kind], grant.name, pattern, user, "*"), _OPERATIONS[grant.operation], AclPermissionType.ALLOW
    )


@contextmanager
def secured_kafka(folder: Path, servers: Servers) -> Iterator[SecuredKafka]:
    """Start the broker in an empty folder, and stop it at the end."""
    certificates = Certificates(folder)
    certificates.sign("broker", "DNS:localhost")
    plain, controller, scram, mtls = ports.choose(4, random.SystemRandom())
    more = _SETTINGS.format(plain=plain, controller=controller, scram=scram, mtls=mtls, folder=folder)
    users = [f"SCRAM-SHA-512=[name={role},password={password_of(role)}]" for role in ROLES]
    server = KafkaServer(
        folder,
        KafkaPorts(plain, controller),
        "c2VjdXJlZC1rYWZrYS0wMQ",
        more_settings=more,
        format_options=[word for user in users for word in ("--add-scram", user)],
    )
    try:
        jars = servers.instance._jars(lambda _: None)
        server.start(java.find(None, {}), jars)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (server.ready(5.0) and server.gives_producer_ids()):
            assert server.process.pid is not None, server.why_dead()
            assert time.monotonic() < deadline, server.why_dead()
        yield SecuredKafka(folder, (plain, scram, mtls), certificates, jars)
    finally:
        server.process.stop(15.0)
