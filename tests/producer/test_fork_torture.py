"""Forks at random points of a busy app: no child hangs, no event is lost, none comes twice but by its event id.

HEADRACE_FORKS sets how many (40); HEADRACE_SEED repeats the choices of a run, though not its timing.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from servers import Servers
from topic_events import left_in

from headrace.producer import EventLog
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

pytestmark = pytest.mark.servers

FORKS = int(os.environ.get("HEADRACE_FORKS", "40"))
PARTITIONS = 3
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

# Four threads emit. One of them, or the main thread, forks every few milliseconds; a child emits from a thread or two
# of its own and ends in one of the ways that processes end. What emit() returned True for is written to a file at once:
# one line an event, the thread's name and its number, by one write to a descriptor opened for appending.
APP = """
import os, random, sys, threading, time
from headrace.producer import EventLog
from headrace.schemas import Pin

kafka, topic, spool, told, forks, seed = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
log = EventLog(service="web", kafka=kafka, topic=topic, spool=spool)
out = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
stop, children, lock = threading.Event(), {}, threading.Lock()
left = forks

def emit(user, number):
    assert log.emit(Pin(user_id=user, pin_id=number, action="SAVE"))
    os.write(out, b"%d %d\\n" % (user, number))

def child(user, ending, count, is_main):
    helper = threading.Thread(target=lambda: [emit(user + 1, n) for n in range(count)])
    if ending % 2:
        helper.start()
    for n in range(count):
        emit(user, n)
    if ending % 2:
        helper.join()
    if ending < 2:
        os._exit(0)  # at once: what is queued stays in the spool
    if ending < 4:
        log.close(5)
        os._exit(0)
    if ending < 6:
        os.kill(os.getpid(), 9)
    if is_main:
        sys.exit(0)  # through atexit
    log.close(0.01)
    os._exit(0)

def fork(chance, is_main):
    global left
    with lock:
        if left == 0:
            return False
        left -= 1
        number = forks - left
    ending, count = chance.randrange(8), chance.randrange(20)
    pid = os.fork()
    if pid == 0:
        child(1000 + 10 * number, ending, count, is_main)
    children[pid] = (time.monotonic(), ending)
    return True

def work(user, chance):
    number = 0
    while not stop.is_set():
        emit(user, number)
        number += 1
        if number % 50 == 0:
            time.sleep(chance.uniform(0, 0.004))
        if user == 0 and chance.random() < 0.01:
            fork(chance, False)

def reap(wait_s):
    deadline = time.monotonic() + wait_s
    while children:
        for pid, (since, ending) in list(children.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del children[pid]
                expected = 9 if 4 <= ending < 6 else 0
                assert status == expected, f"child {pid} (ending {ending}) ended with {status}"
            elif time.monotonic() - since > 180:
                os.kill(pid, 6)
                raise AssertionError(f"child {pid} (ending {ending}) hangs")
        if time.monotonic() > deadline:
            return

threads = [threading.Thread(target=work, args=(user, random.Random(seed + user))) for user in range(4)]
for thread in threads:
    thread.start()
chance = random.Random(seed + 4)
try:
    while left:
        time.sleep(chance.uniform(0, 0.01))
        if len(children) < 8:
            fork(chance, True)
        reap(0)
    while children:
        reap(0.1)
finally:
    stop.set()
for thread in threads:
    thread.join()
assert log.close(180), log.counts()
"""


def read(kafka: str, topic: str) -> list[tuple[bytes, int, int]]:
    """Return (event id, user, number) of all records, by a consumer that has nothing to do with the producer."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    decoder, events, ended = Decoder(builtin()), [], 0
    while ended < PARTITIONS:
        message = consumer.poll(120)
        assert message is not None
        error, value = message.error(), message.value()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
        elif value is not None:
            event = decoder.decode(value)
            events.append((event["event_id"], event["user_id"], event["pin_id"]))
    consumer.close()
    return events


@pytest.mark.timeout(600 + 6 * FORKS)
def test_forks_at_random_points_lose_and_double_nothing(servers: Servers, tmp_path: Path) -> None:
    """Forked from the main thread and from a busy one, children emit and end by every way there is: all that emit()
    returned True for, in any process, is in Kafka once the spool is adopted, and all children ended by themselves."""
    topic = servers.new_topic(partitions=PARTITIONS)
    seed = int(os.environ.get("HEADRACE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HEADRACE_SEED={seed}")
    told, spool = tmp_path / "told", tmp_path / "spool"
    app = [sys.executable, *WARNINGS, "-c", APP, servers.kafka, topic, str(spool), str(told), str(FORKS), str(seed)]
    done = subprocess.run(app, capture_output=True, text=True, timeout=300 + 3 * FORKS, check=False)
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    # A slow machine may make librdkafka tell of what it tries again; what Python says of itself is an error.
    assert [word for word in ("Traceback", "Fatal", "ignored in", "Warning") if word in done.stderr] == [], done.stderr
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=spool) as log:
        assert log.emit(Pin(user_id=-1, pin_id=0, action="SAVE"))
        deadline = time.monotonic() + 240 + FORKS
        while len(left_in(spool / "web")) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert log.flush(120)
        assert log.counts().adopted_lost == {}
    promised = {(int(user), int(number)) for user, number in (line.split() for line in told.read_text().splitlines())}
    events = read(servers.kafka, topic)
    arrived = {(user, number) for _, user, number in events if user >= 0}
    ids = {event_id: (user, number) for event_id, user, number in events}
    missing = promised - arrived
    print(
        f"{FORKS} forks, {len(promised)} events promised: {len(missing)} missing, {len(events) - len(ids)} duplicates "
        f"all by event_id, {len(arrived - promised)} more that were accepted and not told, 0 children hung"
    )
    assert missing == set()
    assert [each for each, times in Counter(ids.values()).items() if times > 1] == []
    assert all(user < 1000 or number < 20 for user, number in arrived)
    assert len({user for user, _ in promised if user >= 1000}) > FORKS / 2
