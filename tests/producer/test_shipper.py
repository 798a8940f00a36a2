"""The shipper: order, and what it does when delivery fails. Single-threaded, over a fake broker."""

import contextlib
import itertools
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError
from fake_producer import HOLD, FakeBroker

from headrace.producer.letter import Letter
from headrace.producer.queues import MemoryQueue
from headrace.producer.record import Record
from headrace.producer.schema_topic import SCHEMAS_TOPIC
from headrace.producer.shipper import Shipper


class Rig:
    """A shipper with its queue, broker and clock."""

    def __init__(self, in_flight: int = 1000, config: Mapping[str, Any] | None = None) -> None:
        self.now = 0.0
        self.refused = 0
        self.broker = FakeBroker()
        self.queue = MemoryQueue(queue_records_max=10_000, queue_bytes_max=1 << 30)
        self.shipper = Shipper(
            queue=self.queue,
            config={"bootstrap.servers": "x", **(config or {})},
            make_producer=self.broker.make_producer,
            on_refused=self._refuse,
            in_flight_records_max=in_flight,
            monotonic=lambda: self.now,
        )

    def _refuse(self, _letter: Letter) -> None:
        self.refused += 1

    def put(self, *values: bytes, topic: str = "t") -> None:
        for value in values:
            framed = b"\xc3\x01" + topic[:1].encode() * 8 + value
            self.queue.append(Record(topic, b"k", framed, 5, 1, f"schema of {topic}"))

    def run(self, steps: int = 20) -> None:
        for _ in range(steps):
            self.shipper.step()
            self.now += 1.0

    def bodies(self, topic: str = "t") -> list[bytes]:
        return [value[10:] for value in self.broker.values(topic)]


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%04d" % n for n in range(start, start + count)]


def test_records_arrive_in_order_with_key_and_timestamp() -> None:
    """What was appended is delivered once, in order, and forgotten."""
    rig = Rig()
    rig.put(*numbers(500))
    rig.run()
    assert rig.bodies() == numbers(500)
    assert {(key, timestamp) for topic, key, _, timestamp in rig.broker.log if topic == "t"} == {(b"k", 5)}
    assert rig.queue.depth() == (0, 0)
    assert (rig.shipper.acked, rig.shipper.delivered_to, rig.shipper.restarts) == (500, 500, 0)


def test_each_schema_is_published_once_under_its_fingerprint() -> None:
    """The first record of a type brings its schema along, before itself."""
    rig = Rig()
    rig.put(*numbers(3), topic="a")
    rig.put(*numbers(3), topic="b")
    rig.run()
    published = [(key, value) for topic, key, value, _ in rig.broker.log if topic == SCHEMAS_TOPIC]
    assert published == [(b"a" * 8, b"schema of a"), (b"b" * 8, b"schema of b")]
    assert rig.broker.log[0][0] == SCHEMAS_TOPIC


@pytest.mark.parametrize("how", ["report", "raise"])
def test_a_missing_schema_topic_breaks_nothing(how: str) -> None:
    """Publishing schemas is best effort: events are delivered without it, and the failure is counted."""
    rig = Rig()

    def missing(topic: str, _value: bytes) -> KafkaError | None:
        return KafkaError(KafkaError._UNKNOWN_TOPIC) if topic == SCHEMAS_TOPIC else None

    if how == "report":
        rig.broker.decide = missing
    else:
        rig.broker.refuse_produce = missing
    rig.put(*numbers(5))
    rig.run()
    assert rig.bodies() == numbers(5)
    assert (rig.shipper.schemas_failed, rig.shipper.restarts) == (1, 0)


def test_a_schema_that_is_refused_for_good_is_not_sent_again() -> None:
    """A refusal ends a producer, so a schema that the broker refuses is left out of the next ones; a schema that could
    not be sent for another reason is sent again."""
    rig = Rig()
    codes = {b"schema of t": KafkaError.TOPIC_AUTHORIZATION_FAILED, b"schema of u": KafkaError._UNKNOWN_TOPIC}
    seen: list[bytes] = []

    def decide(topic: str, value: bytes) -> KafkaError | None:
        if topic != SCHEMAS_TOPIC:
            return None
        seen.append(value)
        return KafkaError(codes[value])

    rig.broker.decide = decide
    for turn in range(3):
        rig.put(b"%04d" % turn, topic="t")
        rig.put(b"%04d" % turn, topic="u")
        rig.run()
        rig.broker.fatal = KafkaError(KafkaError._GAPLESS_GUARANTEE, "refused", fatal=True)
        rig.shipper.advance()
        rig.run()
    assert rig.shipper.restarts == 3
    assert (seen.count(b"schema of t"), seen.count(b"schema of u")) == (1, 3)
    assert rig.bodies("t") == rig.bodies("u") == numbers(3)


def test_a_failed_delivery_begins_again_from_the_lowest_unacknowledged() -> None:
    """After a timeout a new producer sends all that was not acknowledged, in order, and nothing else."""
    rig = Rig()
    rig.put(*numbers(3))
    rig.run(3)
    failing = True
    rig.broker.decide = lambda topic, _: KafkaError(KafkaError._MSG_TIMED_OUT) if failing and topic == "t" else None
    rig.put(*numbers(5, start=3))
    rig.run(4)
    assert rig.bodies() == numbers(3)
    failing = False
    rig.run(4)
    assert rig.bodies() == numbers(8)
    assert rig.shipper.restarts >= 1
    assert rig.queue.depth() == (0, 0)


def test_what_is_acknowledged_is_not_sent_again_by_a_restart() -> None:
    """Topic a fails while b is delivered: the restart repeats a alone."""
    rig = Rig()
    failing = True
    rig.broker.decide = lambda topic, _: KafkaError(KafkaError._MSG_TIMED_OUT) if failing and topic == "a" else None
    rig.put(b"b1", topic="b")
    rig.put(b"a1", topic="a")
    rig.put(b"b2", topic="b")
    rig.run(2)
    failing = False
    rig.run()
    assert rig.bodies("a") == [b"a1"]
    assert rig.bodies("b") == [b"b1", b"b2"]


@pytest.mark.parametrize("how", ["error_cb", "poll"])
def test_a_fatal_error_ends_the_producer(how: str) -> None:
    """librdkafka's fatal errors come without a record, by error_cb or raised by poll(); a new producer takes over."""
    rig = Rig()
    rig.broker.decide = lambda *_: HOLD
    rig.put(*numbers(4))
    rig.run(2)
    error = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
    if how == "error_cb":
        rig.broker.producers[0].config["error_cb"](error)
    else:
        rig.broker.fatal = error
    rig.shipper.advance()
    rig.broker.decide = lambda *_: None
    rig.run()
    assert len(rig.broker.producers) == 2
    assert rig.bodies() == numbers(4)


def test_a_fatal_error_while_it_waits_does_not_end_the_shipper() -> None:
    """poll() raises it wherever it is called: also where the loop only waits for reports, outside of any step."""
    rig = Rig()
    rig.put(*numbers(4))
    rig.broker.fatal = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
    rig.broker.fatal_in_wait = True
    rig.broker.decide = lambda *_: None if rig.broker.fatal is None else HOLD
    turns = itertools.count()
    rig.shipper.run(lambda: rig.bodies() == numbers(4) or next(turns) > 100)
    assert rig.bodies() == numbers(4)
    assert len(rig.broker.producers) == 2


def test_errors_that_are_not_fatal_are_kept_and_no_more() -> None:
    """A broker that is down is told by counts(); librdkafka goes on trying by itself."""
    rig = Rig()
    rig.run(1)
    rig.broker.producers[0].config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    rig.put(*numbers(2))
    rig.run()
    assert len(rig.broker.producers) == 1
    assert "1/1 brokers are down" in (rig.shipper.last_error or "")


@pytest.mark.parametrize("how", ["report", "raise"])
def test_a_missing_topic_parks_its_records_alone(how: str) -> None:
    """Other topics go on, no producer is replaced, and the parked records follow in order once the topic is there."""
    rig = Rig()
    exists = False

    def missing(topic: str, _value: bytes) -> KafkaError | None:
        return KafkaError(KafkaError._UNKNOWN_TOPIC) if topic == "a" and not exists else None

    if how == "report":
        rig.broker.decide = missing
    else:
        rig.broker.refuse_produce = missing
    for index in range(5):
        rig.put(b"a%d" % index, topic="a")
        rig.put(b"b%d" % index, topic="b")
        rig.run(2)
    rig.run(10)
    assert rig.bodies("b") == [b"b%d" % n for n in range(5)]
    assert rig.bodies("a") == []
    assert rig.queue.depth()[0] == 5
    assert rig.shipper.delivered_to == 0
    exists = True
    rig.run(10)
    assert rig.bodies("a") == [b"a%d" % n for n in range(5)]
    assert (rig.shipper.restarts, rig.refused, rig.shipper.delivered_to) == (0, 0, 10)


def test_a_denied_topic_is_tried_by_a_producer_of_its_own() -> None:
    """The shipper's producer, which a refusal of the broker would end, gets no record of a denied topic until one was
    delivered beside it; the others flow meanwhile, and the topic's events arrive in order and once."""
    rig = Rig(config={"enable.idempotence": True})
    answers = [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 3 + [KafkaError._TRANSPORT]
    tried: list[bytes] = []

    def decide(topic: str, value: bytes) -> KafkaError | None:
        if topic != "a" or not answers:
            return None
        tried.append(value[10:])
        code = answers[0]
        if len(rig.broker.producers) > 1:
            del answers[0]
        return KafkaError(code)

    rig.broker.decide = decide
    for index in range(5):
        rig.put(b"a%d" % index, topic="a")
        rig.put(b"b%d" % index, topic="b")
    rig.run(4)
    main, in_between = rig.broker.producers[0], list(tried)
    rig.run(40)
    assert rig.bodies("b") == [b"b%d" % n for n in range(5)]
    assert rig.bodies("a") == [b"a%d" % n for n in range(5)]
    assert tried[len(in_between) :] == [b"a0"] * 4
    assert [producer.config["enable.idempotence"] for producer in rig.broker.producers] == [True, False]
    assert (rig.broker.producers[0], rig.shipper.restarts, rig.queue.depth()) == (main, 0, (0, 0))
    rig.put(b"a5", topic="a")
    rig.run(3)
    assert (rig.bodies("a")[-1], rig.shipper.acked) == (b"a5", 11)


def test_a_denied_topic_that_the_client_itself_refuses_is_tried_anew() -> None:
    """librdkafka may remember that a topic was denied, and refuse it by itself: the next try is another client's."""
    rig = Rig()
    denied = True

    def refuse(topic: str, _value: bytes) -> KafkaError | None:
        return KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED) if topic == "a" and denied else None

    rig.broker.refuse_produce = refuse
    rig.put(b"a0", b"a1", topic="a")
    rig.put(b"b0", topic="b")
    rig.run(21)
    assert (rig.bodies("a"), rig.bodies("b"), rig.shipper.restarts) == ([], [b"b0"], 0)
    assert len(rig.broker.producers) == 1 + 4
    denied = False
    rig.run(10)
    assert (rig.bodies("a"), rig.shipper.restarts, rig.queue.depth()) == ([b"a0", b"a1"], 0, (0, 0))


def test_a_denied_record_that_is_refused_for_good_too_is_dropped_alone() -> None:
    """What is wrong with a record itself is found by the shipper's own producer, once its topic may be written."""
    rig = Rig()
    code = KafkaError.TOPIC_AUTHORIZATION_FAILED
    denied = True
    rig.broker.decide = lambda topic, value: (
        KafkaError(code) if topic == "t" and (denied or value.endswith(b"big")) else None
    )
    rig.put(b"big", *numbers(3))
    rig.run(8)
    denied, code = False, KafkaError.MSG_SIZE_TOO_LARGE
    rig.run(40)
    assert (rig.bodies(), rig.refused, rig.queue.depth()) == (numbers(3), 1, (0, 0))


def test_a_record_refused_for_good_is_dropped_alone() -> None:
    """Its batch fails with it; sent one by one, only that record is dropped, and full batches come back."""
    rig = Rig()
    big = b"big"
    rig.broker.decide = lambda _, value: KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if value.endswith(big) else None
    rig.put(*numbers(5), big, *numbers(5, start=5), big, *numbers(2, start=10))
    rig.run()
    rig.put(*numbers(3, start=12))
    rig.run()
    assert rig.bodies() == numbers(15)
    assert rig.refused == 2
    assert rig.queue.depth() == (0, 0)
    assert [producer.config.get("batch.num.messages") for producer in rig.broker.producers] == [None, 1, None]


def test_a_record_that_librdkafka_itself_refuses_is_dropped_alone() -> None:
    """produce() raises for a record beyond message.max.bytes: it is dropped, the rest goes on."""
    rig = Rig()
    rig.broker.refuse_produce = lambda _, value: (
        KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if value.endswith(b"big") else None
    )
    rig.put(*numbers(2), b"big", *numbers(2, start=2))
    rig.run()
    assert rig.bodies() == numbers(4)
    assert rig.refused == 1


def test_a_full_librdkafka_holds_records_back_in_order() -> None:
    """BufferError is back-pressure, not loss."""
    rig = Rig()
    rig.broker.room = 7
    rig.put(*numbers(100))
    rig.run(100)
    assert rig.bodies() == numbers(100)
    assert rig.shipper.restarts == 0


def test_one_record_of_a_group_that_fails_takes_nothing_with_it() -> None:
    """Records that were handed over together are told apart: those that arrived are acknowledged, the other one waits
    and is sent again, with all that came behind it in its topic, in order."""
    rig = Rig(config={"batch.num.messages": 1})
    gone = True
    rig.broker.decide = lambda _, value: (
        KafkaError(KafkaError._UNKNOWN_PARTITION) if gone and value.endswith(b"0007") else None
    )
    rig.put(*numbers(20))
    rig.run(3)
    assert (rig.shipper.acked, rig.shipper.delivered_to) == (19, 7)
    rig.put(*numbers(5, start=20))
    rig.run(2)
    assert rig.shipper.acked == 19
    gone = False
    rig.run(10)
    assert rig.bodies() == [*(n for n in numbers(20) if n != b"0007"), b"0007", *numbers(5, start=20)]
    assert (rig.shipper.acked, rig.shipper.restarts) == (25, 0)


def test_a_partition_that_stands_still_holds_up_no_other() -> None:
    """Nothing is reported of every fourth record, as of a partition without a leader: all others are acknowledged, and
    delivered until the room for what is on its way is full of those that stand still; in the end all are, once."""
    rig = Rig(in_flight=100, config={"batch.num.messages": 1})
    still = True
    rig.broker.decide = lambda topic, value: HOLD if still and topic == "t" and int(value[10:]) % 4 == 3 else None
    rig.put(*numbers(200))
    rig.run(25)
    assert rig.shipper.restarts == 0
    assert rig.bodies() == [n for n in numbers(200) if int(n) % 4 != 3]
    assert rig.shipper.acked > 100
    still = False
    rig.run(25)
    assert sorted(rig.bodies()) == numbers(200)
    assert (rig.queue.depth(), rig.shipper.restarts) == ((0, 0), 0)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), ValueError("of error_cb")])
def test_what_was_reported_while_poll_failed_does_not_count(interrupt: BaseException) -> None:
    """A report may be lost when poll() is left by something that is no error of Kafka's, such as a signal on the main
    thread: what was on its way then is sent again, rather than taken for delivered."""
    rig = Rig()
    rig.broker.decide = lambda *_: HOLD
    rig.put(*numbers(30))
    rig.shipper.step()
    producer = rig.broker.producers[0]
    poll = producer.poll

    def interrupted(timeout: float) -> int:
        del timeout
        producer.poll = poll  # type: ignore[method-assign] # once
        producer._waiting.clear()  # nobody will ever report on them, and they are not in the log
        raise interrupt

    producer.poll = interrupted  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        rig.shipper.advance()
    rig.broker.decide = lambda *_: None
    assert (rig.shipper.acked, rig.queue.depth()[0]) == (0, 30)
    rig.run(5)
    assert (rig.bodies(), rig.shipper.restarts) == (numbers(30), 1)


def test_what_is_on_its_way_is_bounded() -> None:
    """No more than in_flight_records_max records are handed to librdkafka, so its queue cannot grow."""
    rig = Rig(in_flight=10)
    rig.broker.decide = lambda *_: HOLD
    rig.put(*numbers(50))
    rig.run(5)
    assert len(rig.broker.producers[0]) == 10 + 1  # and the schema
    rig.broker.decide = lambda *_: None
    rig.run(20)
    assert rig.bodies() == numbers(50)


def test_records_whose_fate_stays_unknown_are_sent_again() -> None:
    """What is neither acknowledged nor failed when the drain's time is up is purged and repeated, never given up."""
    rig = Rig()
    hold = True
    rig.broker.decide = lambda _, value: (
        HOLD if hold and value.endswith(b"1") else (KafkaError(KafkaError._MSG_TIMED_OUT) if hold else None)
    )
    rig.put(b"0001", topic="a")
    rig.put(b"0002", topic="b")
    rig.run(2)
    hold = False
    rig.run(30)
    assert rig.bodies("a") == [b"0001"]
    assert rig.bodies("b") == [b"0002"]


def test_what_takes_too_long_is_begun_again_in_order() -> None:
    """Records without any report for longer than the delivery timeout go to a new producer, all of them, the oldest
    first; librdkafka itself is told never to give up one alone."""
    rig = Rig(config={"message.timeout.ms": 7000, "delivery.timeout.ms": 30_000})
    rig.broker.decide = lambda topic, _: HOLD if topic == "t" else None
    rig.put(*numbers(50))
    rig.run(5)
    rig.put(*numbers(50, start=50))
    rig.put(b"0000", topic="u")
    rig.run(2)
    assert (rig.shipper.restarts, rig.shipper.acked) == (0, 1)
    rig.run(5)
    assert rig.shipper.restarts == 1
    rig.broker.decide = lambda *_: None
    rig.run(5)
    assert (rig.bodies(), rig.bodies("u")) == (numbers(100), [b"0000"])
    assert "no answer in 7 s" in (rig.shipper.last_error or "")
    for producer in rig.broker.producers:
        assert (producer.config["delivery.timeout.ms"], "message.timeout.ms" in producer.config) == (0, False)


def test_a_timeout_of_nothing_is_for_ever() -> None:
    """0 means no timeout, as it does for librdkafka."""
    rig = Rig(config={"delivery.timeout.ms": 0})
    rig.broker.decide = lambda *_: HOLD
    rig.put(*numbers(5))
    rig.run(500)
    assert rig.shipper.restarts == 0


def test_a_producer_that_cannot_be_made_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """run() survives a wrong setting, says so, and goes on once it can; stop() ends it."""
    rig = Rig()
    rig.broker.dead = True
    rig.put(*numbers(2))
    attempts = 0

    def sleep(_seconds: float) -> None:
        nonlocal attempts
        attempts += 1
        rig.broker.dead = False

    rig.shipper._sleep = sleep  # type: ignore[method-assign, assignment] # a wait that a test need not sit through

    class StopAfter:
        """Ends the loop once everything is delivered."""

        def __bool__(self) -> bool:
            return rig.shipper.acked == 2

    rig.shipper._stop = StopAfter()  # type: ignore[assignment] # read as a truth value, once a round
    with caplog.at_level(logging.WARNING, logger="headrace.producer"):
        rig.shipper.run()
    assert attempts >= 1
    assert rig.bodies() == numbers(2)
    assert rig.shipper.stopped
    assert "no such setting" in caplog.text


def test_an_outage_is_not_logged_over_and_over(caplog: pytest.LogCaptureFixture) -> None:
    """One line each 30 seconds at most, whatever fails how often."""
    rig = Rig()
    rig.broker.decide = lambda *_: KafkaError(KafkaError._MSG_TIMED_OUT)
    rig.put(*numbers(2))
    with caplog.at_level(logging.WARNING, logger="headrace.producer"):
        rig.run(59)
    assert len(caplog.records) == 2
