"""Dead letters: what is put aside, that it stays, what is shown of it, and that it can be sent again."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from fake_producer import FakeBroker
from servers import Servers
from topic_events import events_of, until

from headrace.cli.main import root
from headrace.producer import EventLog
from headrace.producer.letter import Letter
from headrace.producer.record import Record
from headrace.producer.shipper import Shipper
from headrace.producer.spool.dead_letters import DeadLetterFile, files_of, line_of, lines_of, parsed, take
from headrace.producer.spool.letter_inspection import look_at_letters
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.resending import Resending
from headrace.schemas import Error, Pin

SECRET = "ann@example.org"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., EventLog]]:
    """Makes logs with a spool, over the broker given, and closes them."""
    made: list[EventLog] = []

    def build(broker: FakeBroker, **more: Any) -> EventLog:
        chosen: dict[str, Any] = {"service": "web", "kafka": "x", "host": "h1", "spool": tmp_path, **more}
        log = EventLog(**chosen, make_producer=broker.make_producer)
        made.append(log)
        return log

    yield build
    for log in made:
        log.close(0.1)


def spool_verb(spool: Path, *args: str) -> Result:
    return CliRunner().invoke(root, ["spool", str(spool), *args], prog_name="headrace")


def letters(spool: Path) -> list[Letter]:
    return [kept.letter for service in look_at_letters(spool) for _, kept in service.found]


def refuse_bad(_: str, value: bytes) -> KafkaError | None:
    return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if b"bad" in value else None


def test_what_kafka_refuses_is_kept_whole(
    make: Callable[..., EventLog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused event outlives its process's folder; the log and `headrace spool` tell of it without what is in it,
    which only an explicit export shows."""
    broker = FakeBroker()
    broker.decide = refuse_bad
    log = make(broker)
    with caplog.at_level(logging.WARNING):
        for message in ("a", f"bad {SECRET}", "c"):
            assert log.emit(Error(level="INFO", message=message))
        assert log.close(60)
    assert log.counts().dropped == {"refused": 1}
    assert [each.name for each in (tmp_path / "web").iterdir()] == ["dead-letters"]
    assert "put aside" in caplog.text
    [letter] = letters(tmp_path)
    assert (letter.reason, letter.event_type) == ("refused", "error")
    assert letter.record is not None
    assert SECRET.encode() in letter.record.value
    shown = spool_verb(tmp_path)
    assert "web/dead-letters  1 put aside (refused 1), 1 can be sent again" in shown.output
    listed = spool_verb(tmp_path, "--dead-letters").output + spool_verb(tmp_path, "--dead-letters", "--json").output
    assert "MSG_SIZE_TOO_LARGE" in listed
    assert SECRET not in listed + caplog.text + shown.output
    exported = json.loads(spool_verb(tmp_path, "--dead-letters", "--json", "--payloads").output)
    assert exported["dead_letters"][0]["letters"][0]["value"]
    assert spool_verb(tmp_path, "--payloads").exit_code == 2


def test_values_that_do_not_fit_leave_no_trace_of_themselves(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Of an event that cannot be made, type, field and the value's type are kept, never the value: in the wrong field
    it could be anybody's address."""
    log = make(FakeBroker())
    assert not log.emit(Pin, user_id=SECRET, pin_id=9, action="SAVE")  # type: ignore[arg-type] # what is tested
    assert not log.emit(Pin, user_id=1, pin_id=9, action=SECRET)  # type: ignore[arg-type] # what is tested
    assert not log.emit(SECRET)  # type: ignore[arg-type] # what is tested
    log.close()
    assert [(each.reason, each.event_type, each.error) for each in letters(tmp_path)] == [
        ("invalid", "pin", "pin.user_id: a value of type str does not fit"),
        ("invalid", "pin", "pin.action: a value of type str does not fit"),
        ("not_an_event", "str", "TypeError"),
    ]
    assert log.counts().dropped == {"invalid": 2, "not_an_event": 1}
    assert all(SECRET not in path.read_text() for path in files_of(tmp_path / "web"))


def test_what_is_too_large_is_numbered_and_kept_whole(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """An oversize event is refused, uses up its number, and is kept as it would have been sent."""
    broker = FakeBroker()
    log = make(broker, event_bytes_max=1000)
    assert log.emit(Error(level="INFO", message="a"))
    assert not log.emit(Error(level="INFO", message="x" * 2000))
    assert log.emit(Error(level="INFO", message="c"))
    log.close()
    assert log.counts().dropped == {"oversize": 1}
    [letter] = letters(tmp_path)
    assert letter.record is not None
    assert (letter.reason, letter.event_type, letter.record.seq) == ("oversize", "error", 2)


def test_memory_only_counts(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Without a spool nothing is written anywhere; the reasons are counted as ever."""
    log = make(FakeBroker(), spool=None, event_bytes_max=1000)
    assert not log.emit(Error(level="INFO", message="x" * 2000))
    log.close()
    assert log.counts().dropped == {"oversize": 1}
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_bounded(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Beyond dead_letter_bytes_max events are only counted, and the app goes on."""
    log = make(FakeBroker(), spool_limits=SpoolLimits(dead_letter_bytes_max=5000), event_bytes_max=1000)
    for _ in range(20):
        assert not log.emit(Error(level="INFO", message="x" * 1100))
        log._process.queue._aside.flush()  # type: ignore[union-attr] # what the upkeep does once a second
    log.close()
    assert log.counts().dropped == {"oversize": 20}
    assert 1 <= len(letters(tmp_path)) < 5
    assert sum(path.stat().st_size for path in files_of(tmp_path / "web")) <= 5000


def record(number: int) -> Record:
    return Record("t", b"k" if number % 2 else None, b"\xc3\x01FINGERPR%d" % number, 5, number, "{}", "pin")


def test_a_line_is_what_it_was_or_damaged() -> None:
    """A letter comes back as it went, null key and all; a flipped bit anywhere in its line is seen."""
    for number in (1, 2):
        letter = Letter("refused", "why", "pin", record(number))
        line = line_of(letter, 7)
        kept = parsed(line)
        assert kept is not None
        assert (kept.letter, kept.at_ms) == (letter, 7)
        for at in range(len(line) - 1):
            assert parsed(line[:at] + bytes([line[at] ^ 4]) + line[at + 1 :]) is None


def put_aside(spool: Path, numbers: range, process: str = "p") -> DeadLetterFile:
    (spool / "web").mkdir(exist_ok=True)
    file = DeadLetterFile(spool / "web", process, bytes_max=1 << 20, clock_ns=time.time_ns)
    assert file.write([Letter("refused", "why", "pin", record(number)) for number in numbers])
    return file


def resend(spool: Path, broker: FakeBroker, reason: str | None = None) -> Resending:
    def shipper(queue: Any, on_refused: Any) -> Shipper:
        return Shipper(
            queue=queue, config={}, make_producer=broker.make_producer, on_refused=on_refused,
            in_flight_records_max=100, monotonic=time.monotonic,
        )  # fmt: skip

    run = Resending(spool, reason=reason, make_shipper=shipper, say=print, clock_ns=time.time_ns)
    run.run()
    return run


def sent(broker: FakeBroker) -> list[bytes]:
    return [value[10:] for value in broker.values("t")]


def test_sending_again_crosses_out_what_was_sent(tmp_path: Path) -> None:
    """What Kafka takes now is gone from the file, what it refuses again stays, and so does what cannot be sent."""
    file = put_aside(tmp_path, range(10))
    file.write([Letter("invalid", "pin.user_id", "pin")])
    broker = FakeBroker()
    broker.decide = lambda _, value: KafkaError(KafkaError.INVALID_RECORD) if value.endswith(b"R7") else None
    run = resend(tmp_path, broker)
    assert (run.sent, run.left) == (9, 1)
    assert sent(broker) == [b"%d" % number for number in range(10) if number != 7]
    left = sorted(letters(tmp_path), key=lambda each: each.reason, reverse=True)
    assert [(each.reason, each.record and each.record.seq) for each in left] == [("refused", 7), ("invalid", None)]
    assert "INVALID_RECORD" in left[0].error
    again = resend(tmp_path, FakeBroker(), reason="oversize")
    assert (again.sent, again.left) == (0, 0)


def test_the_process_goes_on_while_its_file_is_taken(tmp_path: Path) -> None:
    """A file that a command took is not written to any more; letters of a command that died are sent by the next."""
    file = put_aside(tmp_path, range(3))
    [path] = files_of(tmp_path / "web")
    assert take(path) is not None
    assert file.write([Letter("refused", "why", "pin", record(3))])
    assert len(files_of(tmp_path / "web")) == 2
    broker = FakeBroker()
    assert resend(tmp_path, broker).sent == 4
    assert sorted(sent(broker)) == [b"0", b"1", b"2", b"3"]
    assert files_of(tmp_path / "web") == []


def test_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    """A line that a dying process cut is counted as damaged, stays, and the others are sent."""
    put_aside(tmp_path, range(3))
    [path] = files_of(tmp_path / "web")
    lines = lines_of(path)
    path.write_bytes(lines[0] + lines[1][:30] + b"\n" + lines[2])
    assert spool_verb(tmp_path).exit_code == 1
    broker = FakeBroker()
    assert resend(tmp_path, broker).sent == 2
    [service] = look_at_letters(tmp_path)
    assert (service.count, service.damaged) == (0, 1)


def ship(spool: Path, kafka: str, how: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "ship", str(spool)]
    done = subprocess.run(
        [*command, "--kafka", kafka, how], capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.servers
def test_refused_by_a_real_kafka_sent_when_the_cause_is_gone(servers: Servers, tmp_path: Path) -> None:
    """A topic that takes only small messages refuses a large event, as does one of a dead process and one of a living
    one that `headrace ship` delivers; once the topic takes them, `headrace ship --dead-letters` sends all of them."""
    topic = servers.new_topic(config={"max.message.bytes": "2000"})
    large = [Error(level="INFO", message="".join(chr(33 + os.urandom(1)[0] % 90) for _ in range(5000))) for _ in "123"]
    small = Error(level="INFO", message="small")
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=tmp_path) as log:
        assert log.emit(small)
        assert log.emit(large[0])
        assert log.emit(small)
        assert log.flush(120)
        assert log.counts().dropped == {"refused": 1}
    apart = EventLog(service="web", topic=topic, spool=tmp_path, ship="separate")
    assert apart.emit(large[1])
    assert apart.emit(small)
    code, said = ship(tmp_path, servers.kafka, "--until-empty")
    assert code == 1, said
    assert "1 events delivered, 1 refused" in said
    until(lambda: apart.counts().queued == 0, 10)
    apart.close()
    assert [each.reason for each in letters(tmp_path)] == ["refused", "refused"]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(
        ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    )
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    [done] = admin.incremental_alter_configs([resource]).values()
    done.result(20)
    code, said = ship(tmp_path, servers.kafka, "--dead-letters")
    assert code == 0, said
    assert "2 dead letters sent, 0 left" in said
    assert letters(tmp_path) == []
    messages = [event["message"] for event in events_of(servers.kafka, topic, 1)[0]]
    assert sorted(messages) == sorted([*(each.message for each in large[:2]), "small", "small", "small"])
