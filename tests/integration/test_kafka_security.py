"""A Kafka that lets nobody in without a certificate or a password, and each role do its work and nothing more."""

import itertools
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive, Finished, run_headrace
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from denied_topics import running, values, wait_for_tries
from kafka_oracle import read_topic
from secured_kafka import Certificates, SecuredKafka, password_of, secured_kafka
from servers import Servers
from verb_running import started
from worker_slots import wait_until

from headrace.archiver.kafka_acls import ROLES, Grant, Role, grants_of
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.source import SourceError
from headrace.archiver.sources import obstacle
from headrace.cli.main import root

pytestmark = pytest.mark.servers

GROUP = "headrace-secured"
PRODUCER = "User:producer"
_numbers = itertools.count()
LINES = "".join(f'{{"user_id": {n}, "pin_id": {n}, "action": "SAVE"}}\n' for n in range(20))


@pytest.fixture(scope="module")
def kafka(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured"), servers) as broker:
        broker.new_topic("headrace.schemas", **{"cleanup.policy": "compact"})
        broker.new_topic("headrace.audit")
        for topic in ("pin", "pin_again", "other"):
            broker.new_topic(topic)
        commands = [each for role in ROLES for each in printed_acls(role, broker.plain)]
        with ThreadPoolExecutor(2) as pool:  # a Java virtual machine each
            list(pool.map(broker.run_acls, commands))
        yield broker


def topic_for(role: str) -> str:
    return "pin_again" if role == "replay" else "pin"


def printed_acls(role: str, bootstrap: str) -> list[str]:
    """The commands that `headrace kafka acls` prints for a role, as an administrator would paste them."""
    arguments = ["--role", role, "--topic", topic_for(role), "--group", GROUP, "--kafka", bootstrap]
    printed = CliRunner().invoke(root, ["kafka", "acls", *arguments])
    assert printed.exit_code == 0, printed.output
    return printed.stdout.splitlines()


@pytest.fixture
def archive(servers: Servers) -> Archive:
    found = Archive(servers)
    found.group = GROUP
    return found


@pytest.mark.parametrize("role", ROLES)
def test_printed_commands_give_what_the_role_needs(kafka: SecuredKafka, role: Role) -> None:
    """Kafka's own AclCommand takes each printed command, and the broker then has the role's grants and no others."""
    assert kafka.granted_to(f"User:{role}") == set(grants_of(role, [topic_for(role)], GROUP))


def test_each_role_does_its_work(kafka: SecuredKafka, archive: Archive) -> None:
    """With only the printed grants, by SASL_SSL and SCRAM: log, archive, watch without a question open, replay."""
    produced = run_headrace(["produce", "pin"], kafka.env("producer"), stdin=LINES)
    assert produced.code == 0, produced.output
    kept = archive.run("archive", "--topic", "pin", "--group", GROUP, "--until-idle", env=kafka.env("archiver"))
    assert kept.code == 0, kept.output
    assert "authoriz" not in kept.output
    looked = archive.run("lag", "--group", GROUP, "--json", env=kafka.env("lag"))
    assert looked.code == 0, looked.output
    assert "authoriz" not in looked.output.lower()
    assert "Error" not in json.dumps(json.loads(looked.stdout))
    replayed = archive.run("replay", "pin", "--into", "kafka:pin_again", env=kafka.env("replay"))
    assert replayed.code == 0, replayed.output
    assert "target verified" in replayed.output


def denied(kafka: SecuredKafka, role: str, topic: str, *, write: bool) -> str:
    """Try to write to a topic, or to read it, as a role; return what Kafka said, empty when it was done."""
    if write:
        said: list[str] = []
        producer = Producer({**kafka.config(role), "delivery.timeout.ms": 20_000})
        producer.produce(topic, b"x", on_delivery=lambda error, _: said.append("" if error is None else error.name()))
        producer.flush(60)
        return said[0]
    consumer = Consumer({**kafka.config(role), "group.id": GROUP, "enable.partition.eof": True})
    try:
        seen = consumer.list_topics(topic, timeout=60).topics[topic]
        if seen.error is not None:
            return str(seen.error.name())
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(60)
        assert message is not None
        error = message.error()
        return "" if error is None or error.name() == "_PARTITION_EOF" else error.name()
    except KafkaException as error:
        return str(error.args[0].name())
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("role", "topic", "write"),
    [
        ("producer", "pin", False),
        ("producer", "other", True),
        ("archiver", "pin", True),
        ("archiver", "other", False),
        ("replay", "pin", True),
        ("replay", "pin", False),
        ("lag", "pin", True),
        ("lag", "other", False),
    ],
)
def test_no_role_does_more(kafka: SecuredKafka, role: str, topic: str, write: bool) -> None:
    """What is not a role's work is refused by the broker."""
    assert "AUTHORIZATION_FAILED" in denied(kafka, role, topic, write=write)


def test_who_cannot_get_in_is_told_why(kafka: SecuredKafka, tmp_path: Path) -> None:
    """Wrong password, authority, host name, certificate or protocol: each names what to look at, and no secret."""
    other = Certificates(tmp_path, "stranger")
    right = kafka.config("archiver")
    by_certificate = {"bootstrap.servers": kafka.mtls, "security.protocol": "SSL", "broker.address.family": "v4"}
    by_certificate["ssl.ca.location"] = str(kafka.certificates.ca)
    stranger, stranger_key = other.sign("archiver", "DNS:archiver")
    signed = {"ssl.certificate.location": str(stranger), "ssl.key.location": str(stranger_key)}
    cases = {
        "sasl.password": right | {"sasl.password": "pass-word-that-is-wrong"},
        "ssl.ca.location": right | {"ssl.ca.location": str(other.ca)},
        "host name": right | {"bootstrap.servers": kafka.scram_by_address},
        "ssl.certificate.location": by_certificate,
        "client's certificate": by_certificate | signed,
        "security.protocol": {"bootstrap.servers": kafka.scram, "broker.address.family": "v4"},
    }

    def told(config: dict[str, object]) -> str:
        with pytest.raises(SourceError) as caught:
            KafkaMetadata(config).topics()
        return str(caught.value)

    with ThreadPoolExecutor(len(cases)) as pool:
        texts = dict(zip(cases, pool.map(told, cases.values()), strict=True))
    print(json.dumps(texts, indent=1))
    assert [word for word, text in texts.items() if word not in text] == []
    assert not any("pass-word" in text for text in texts.values())


def test_config_check_tells_before_anything_is_begun(kafka: SecuredKafka, tmp_path: Path) -> None:
    """`headrace config check --connect` has one line for this broker: fine, or wrong and where to look; exit code 0 or
    3; no secret. A missing grant is told with the verb that prints it."""
    right = kafka.env("archiver")
    wrong = tmp_path / "wrong.password"
    wrong.write_text("pass-word-that-is-wrong\n")
    by_certificate = {"HEADRACE_KAFKA": kafka.mtls, "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SSL"}
    by_certificate |= {name: right[name] for name in right if name.endswith(("CA_LOCATION", "FAMILY"))}
    cases = {
        "answers; ": right | {"HEADRACE_ARCHIVE_TOPICS": "pin"},
        "sasl.password": right | {"HEADRACE_KAFKA_SASL_PASSWORD_FILE": str(wrong)},
        "ssl.ca.location": right | {"HEADRACE_KAFKA_SSL_CA_LOCATION": str(Certificates(tmp_path, "stranger").ca)},
        "ssl.certificate.location": by_certificate,
        "has no topic other, or this user may not see it; `headrace kafka acls`": (
            right | {"HEADRACE_ARCHIVE_TOPICS": "pin,other"}
        ),
    }
    with ThreadPoolExecutor(len(cases)) as pool:
        done = list(pool.map(lambda env: run_headrace(["config", "check", "--connect"], env), cases.values()))
    for words, env, found in zip(cases, cases.values(), done, strict=True):
        fine = words == "answers; "
        (line,) = (line for line in found.stdout.splitlines() if " Kafka " in line)
        assert line.startswith(f"{'fine ' if fine else 'WRONG'} Kafka {env['HEADRACE_KAFKA']}: "), found.output
        assert words in line
        assert (found.code, "pass-word" in found.output) == (0 if fine else 3, False), found.output


def test_archiver_by_certificate_loses_its_right_and_gets_it_back(kafka: SecuredKafka, archive: Archive) -> None:
    """Shown a client certificate, archives; without its right says so and waits; with it again goes on: all is there.

    The worker is not started again and again meanwhile.
    """
    topic, user = kafka.new_topic("revoked"), "User:CN=archiver-two"
    grants = grants_of("archiver", [topic], GROUP)
    kafka.grant(grants, user)
    archive.env.update(kafka.env_by_certificate("archiver-two"))
    admin = Producer({"bootstrap.servers": kafka.plain, "log_level": 0})

    def write(texts: list[bytes]) -> None:
        for text in texts:
            admin.produce(topic, text)
        assert admin.flush(120) == 0

    def commits() -> int:
        return sum(key.startswith(f"log/topic={topic}/") for key in archive.objects())

    write([b"before"])
    arguments = ["archive", "--raw", topic, "--group", GROUP, "--flush-interval", "0.5", "--no-seal"]
    with started(archive, *arguments) as (_process, said):
        wait_until(lambda: commits() == 1, "the first record is committed")
        kafka.revoke(user, topic)
        write([b"meanwhile"])
        wait_until(lambda: bool(said.find(r"(headrace kafka acls)")), "what is missing is told")
        assert commits() == 1
        kafka.grant(grants, user)
        wait_until(lambda: commits() >= 2, "the archiver goes on")
        starts = sum("started, pid" in line for line in said.lines)
        assert starts <= 3, said.lines
    listed = archive.run("log", topic, env={"HEADRACE_KAFKA": ""})
    assert listed.code == 0, listed.output
    assert archive.run("verify", topic).code == 0


def test_a_topic_that_may_not_be_seen(kafka: SecuredKafka, archive: Archive) -> None:
    """Asked to archive what it may not see, it says that this may be the reason, at once; the password is not shown."""
    arguments = ("archive", "--topic", "other", "--group", GROUP, "--until-idle", "-v")
    refused = archive.run(*arguments, env=kafka.env("archiver"))
    assert refused.code == 2
    assert "this user may not see it" in refused.output
    assert password_of("archiver") not in refused.output


@pytest.mark.parametrize("state", ["denied", "described", "missing"])
def test_it_holds_up_no_other_and_loses_nothing(kafka: SecuredKafka, state: str) -> None:
    """While one topic is missing, or may not be seen, or may be seen but not written, the others flow, and the producer
    is not made again at each try; what is wrong is told with the topic's name. Once it is mended all events arrive, in
    order and once, without a restart of the app."""
    name = f"{state}-{next(_numbers)}"
    good, bad = kafka.new_topic(f"good-{name}"), f"bad-{name}"
    kafka.grant([Grant("Write", "topic", good)], PRODUCER)
    if state != "missing":
        kafka.new_topic(bad)
    if state == "described":
        kafka.grant([Grant("Describe", "topic", bad)], PRODUCER)
    with running(kafka) as app:
        for number in range(10):
            app.put(number, bad, good)
        wait_until(lambda: app.shipper.acked == 10, "the other topic flows")
        wait_until(lambda: f"topic {bad}" in (app.shipper.last_error or ""), "what is wrong is told")
        wait_for_tries(2)
        restarts = app.shipper.restarts
        wait_for_tries(6)
        for number in range(10, 20):
            app.put(number, bad, good)
        wait_until(lambda: app.shipper.acked == 20, "the other topic still flows")
        assert (app.shipper.restarts, app.queue.depth()[0]) == (restarts, 20)
        assert restarts <= 2  # of a refusal that was not foreseen, and that may come in two halves
        if state == "missing":
            kafka.new_topic(bad)
        kafka.grant([Grant("Write", "topic", bad)], PRODUCER)
        wait_until(lambda: app.queue.depth()[0] == 0, "all is delivered")
        assert (app.shipper.acked, app.shipper.restarts) == (40, restarts)
    assert values(kafka, good) == values(kafka, bad) == [b"%04d" % number for number in range(20)]


def test_record_batches_are_fetched_over_the_same_connections(kafka: SecuredKafka) -> None:
    """With password and with certificate nothing stands in the way; what does is told, without the password.

    The broker's signature is checked, too: whoever does not know the password cannot pass for the broker.
    """

    def blocked(config: dict[str, Any]) -> str | None:
        return obstacle(config, os.urandom)

    by_password = kafka.config("archiver")
    certificate, key = kafka.certificates.sign("archiver", "DNS:archiver")
    by_certificate = {
        "bootstrap.servers": kafka.mtls,
        "security.protocol": "ssl",
        "broker.address.family": "v4",
        "ssl.ca.location": str(kafka.certificates.ca),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
    }
    assert [blocked(config) for config in (by_password, by_certificate)] == [None, None]
    refused = str(blocked(by_password | {"sasl.password": "pass-word-that-is-wrong"}))
    assert "refuses sasl.username 'archiver'" in refused
    assert "pass-word" not in refused
    assert "not valid for '127.0.0.1'" in str(blocked(by_password | {"bootstrap.servers": kafka.scram_by_address}))
    assert "GSSAPI" in str(blocked(by_password | {"sasl.mechanism": "GSSAPI"}))
    assert "does not offer" in str(blocked(by_password | {"sasl.mechanism": "PLAIN"}))


def test_a_log_goes_on_in_another_cluster(kafka: SecuredKafka, archive: Archive, tmp_path: Path) -> None:
    """From the session's cluster to this one, both real: no archiver takes the other's log; a move that would leave
    records behind is refused; afterwards the archive goes on, and what came before and after the border is replayed as
    each cluster has it, byte for byte. `verify` finds nothing wrong, against the new cluster too."""
    servers = archive.servers
    topic = kafka.new_topic(servers.new_topic(1))
    old, new = {"HEADRACE_KAFKA": servers.kafka}, {"HEADRACE_KAFKA": kafka.plain}
    move = ("log", "moved", topic, "--kafka", kafka.plain, "--old-kafka", servers.kafka, "--why", "OPS-12", "--yes")

    def write(bootstrap: str, numbers: range) -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        for number in numbers:
            producer.produce(topic, b"value %d" % number, b"key", headers=[("n", b"%d" % number), ("n", None)])
        assert producer.flush(120) == 0

    def archiving(cluster: dict[str, str]) -> Finished:
        archive.env |= cluster
        return archive.run("archive", "--raw", topic, "--group", GROUP, "--until-idle")

    write(servers.kafka, range(10))
    assert archiving(old).code == 0
    write(servers.kafka, range(10, 13))
    refused = archiving(new)
    assert (refused.code, "cluster" in refused.output) == (2, True), refused.output
    behind = archive.call(*move)
    assert (behind.code, "3 offsets" in behind.output) == (2, True), behind.output
    assert archiving(old).code == 0
    moved = archive.call(*move)
    assert moved.code == 0, moved.output
    write(kafka.plain, range(100, 107))
    assert archiving(new).code == 0
    before = list(read_topic(servers.kafka, topic).records.values())
    write(servers.kafka, range(13, 14))
    late = archiving(old)
    assert (late.code, "cluster" in late.output) == (2, True), late.output
    archive.env |= new
    checked = archive.call("verify", topic, "--against-kafka", "--kafka", kafka.plain)
    assert checked.code == 0, checked.output
    (old_id,) = KafkaMetadata({"bootstrap.servers": servers.kafka}).topic_ids([topic]).values()
    assert archive.replay(topic, tmp_path / "old", "--topic-id", old_id) == before
    after = list(read_topic(kafka.plain, topic).records.values())
    assert archive.replay(topic, tmp_path / "new") == after
    assert (len(before), len(after)) == (13, 7)
