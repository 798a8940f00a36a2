"""`headrace produce`: JSON lines in, events out, bad lines named."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition
from servers import Servers

from headrace.cli.produce import command
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

NOBODY = "127.0.0.1:1"
GOOD = {"user_id": 7, "pin_id": 9, "action": "SAVE"}


def run(*args: str, lines: str | bytes = "") -> Result:
    return CliRunner().invoke(command, args, input=lines)


def jsonl(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def events(kafka: str, topic: str, count: int) -> list[dict[str, Any]]:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = consumer.poll(120)
        assert message is not None
        value = message.value()
        assert value is not None
        found.append(decode(value, builtin()))
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1] == count
    consumer.close()
    return found


@pytest.mark.servers
def test_good_lines_are_logged(servers: Servers) -> None:
    """Each line is an event, in order; blank lines are passed over; exit code 0 with a summary."""
    topic = servers.new_topic()
    given = {**GOOD, "pin_id": 10, "occurred_at": "2026-11-23T10:00:00Z", "trace_id": "ab" * 16}
    result = run(
        "pin", "--kafka", servers.kafka, "--topic", topic, "--service", "job", lines=jsonl(GOOD) + "\n" + jsonl(given)
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"2 events read, 2 delivered to {topic}, 0 bad lines\n"
    first, second = events(servers.kafka, topic, 2)
    assert (first["service"], first["pin_id"], first["seq"]) == ("job", 9, 1)
    assert (second["pin_id"], second["trace_id"]) == (10, b"\xab" * 16)
    assert second["occurred_at"].isoformat() == "2026-11-23T10:00:00+00:00"


BAD_LINES = (
    jsonl(GOOD).encode()
    + b"nonsense\n"
    + jsonl({**GOOD, "user_id": 1.5}, [1], {**GOOD, "extra": 1}).encode()
    + b'{"user_id": "\xff"}\n'
    + b"[" * 100_000
    + b"\n"
    + jsonl({**GOOD, "user_id": 10**30}).encode()
    + jsonl(GOOD).encode()
)


@pytest.mark.servers
def test_bad_lines_are_named_and_left_out(servers: Servers) -> None:
    """Each bad line is told by number and reason; the good ones are logged; exit code 1."""
    topic = servers.new_topic()
    result = run("pin", "--kafka", servers.kafka, "--topic", topic, lines=BAD_LINES)
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert [line.split(":")[0] for line in told[:-1]] == [f"line {n}" for n in range(2, 9)]
    assert told[0].startswith("line 2: not JSON: ")
    assert told[1] == "line 3: pin.user_id: must be an int, not float 1.5"
    assert told[2] == "line 4: pin: must be a JSON object, not an array"
    assert told[3].startswith("line 5: pin.extra: is no field; there are user_id, pin_id")
    assert told[4].startswith("line 6: not JSON: ")
    assert told[5].startswith("line 7: not JSON: ")
    assert told[6].startswith("line 8: pin.user_id: must fit 64 bits")
    assert told[7] == f"2 events read, 2 delivered to {topic}, 7 bad lines"
    assert len(events(servers.kafka, topic, 2)) == 2


@pytest.mark.servers
def test_strict_stops_at_the_first_bad_line(servers: Servers) -> None:
    """What came before it is delivered, what comes after is not read."""
    topic = servers.new_topic()
    result = run("pin", "--kafka", servers.kafka, "--topic", topic, "--strict", lines=BAD_LINES)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"1 events read, 1 delivered to {topic}, 1 bad lines"


@pytest.mark.servers
def test_an_unknown_topic_is_a_usage_error_and_can_be_made(servers: Servers) -> None:
    """Exit code 2 and what to do; --create-topic does it, and minds no topic that is there."""
    topic = servers.new_topic() + ".new"
    result = run("pin", "--kafka", servers.kafka, "--topic", topic, lines=jsonl(GOOD))
    assert result.exit_code == 2
    assert f"topic {topic} does not exist on {servers.kafka}; create it with" in result.stderr
    for _ in range(2):
        made = run("pin", "--kafka", servers.kafka, "--topic", topic, "--create-topic", "1", lines=jsonl(GOOD))
        assert made.exit_code == 0, made.stderr
    assert len(events(servers.kafka, topic, 2)) == 2


@pytest.mark.servers
def test_a_topic_name_that_cannot_be_is_told(servers: Servers) -> None:
    """The brokers' refusal is a usage error."""
    result = run("pin", "--kafka", servers.kafka, "--topic", "a" * 300, "--create-topic", "1", lines="")
    assert result.exit_code == 2
    assert "cannot be created" in result.stderr


def test_an_unknown_type_is_a_usage_error() -> None:
    """Exit code 2, before anything is asked of Kafka."""
    result = run("pinn", "--kafka", NOBODY)
    assert result.exit_code == 2
    assert "there is no event type pinn; there are alert, audit, error, feed_load, follow, login, pin" in result.stderr


@pytest.mark.parametrize("extra", [(), ("--create-topic", "1")])
def test_a_wrong_address_is_told_in_bounded_time(extra: tuple[str, ...]) -> None:
    """Exit code 3 after some seconds, with the address and what to do."""
    started = time.monotonic()
    result = run("pin", "--kafka", NOBODY, *extra, lines=jsonl(GOOD))
    assert result.exit_code == 3
    assert f"no broker answered at {NOBODY}" in result.stderr
    assert time.monotonic() - started < 60


@pytest.mark.servers
def test_interrupting_delivers_what_was_read(servers: Servers) -> None:
    """Ctrl-C ends reading, not delivery: exit code 130 and an honest summary."""
    topic = servers.new_topic()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("headrace")), "produce", "pin", "--kafka", servers.kafka, "--topic", topic],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    with process:
        try:
            process.stdin.write((jsonl(*[GOOD] * 5)).encode())
            process.stdin.flush()
            assert len(events(servers.kafka, topic, 5)) == 5
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=180) == 130
            assert process.stderr is not None
            told = process.stderr.read().decode()
        finally:
            process.kill()
    assert told.startswith("interrupted: ")
    assert told.splitlines()[-1] == f"5 events read, 5 delivered to {topic}, 0 bad lines"


@pytest.mark.servers
def test_a_large_input(servers: Servers) -> None:
    """Every line of 20,000 arrives, once, in order."""
    topic = servers.new_topic()
    count = 20_000
    result = run("follow", "--kafka", servers.kafka, "--topic", topic, lines=jsonl(
        *({"user_id": 1, "target_id": n, "target": "USER", "action": "FOLLOW"} for n in range(count))
    ))  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [event["target_id"] for event in events(servers.kafka, topic, count)] == list(range(count))
