"""Forked workers, on a real Kafka: each scenario is a program of its own, run in a fresh interpreter."""

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from servers import Servers

from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

pytestmark = pytest.mark.servers

# Errors, but for the one by which newer Pythons advise against what is tested here: forking with threads.
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

# What every program begins with. A child that hangs fails the test by the timeout of the whole program.
PRELUDE = """
import json, multiprocessing, os, sys, threading, time
from headrace.producer import EventLog
from headrace.schemas import Error, Pin

log = EventLog(service="web", kafka=sys.argv[1], topic_prefix=sys.argv[2], close_timeout_s=120)

def emit(count, user):
    for n in range(count):
        assert log.emit(Pin(user_id=user, pin_id=n, action="SAVE"))

def wait(*pids):
    for pid in pids:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, f"child {pid} ended with {status}"
"""


def run(servers: Servers, program: str, expected: dict[int, int]) -> dict[bytes, list[dict[str, Any]]]:
    """Run a program that emits `expected` events by user; return what arrived, by session."""
    topic = servers.new_topic(partitions=3)
    prefix = topic + "."
    servers.new_topic(partitions=3, name=prefix + "pin")
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", PRELUDE + program, servers.kafka, prefix],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    sessions: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    users: dict[int, list[int]] = defaultdict(list)
    for event in read(servers.kafka, prefix + "pin"):
        sessions[event["session_id"]].append(event)
        users[event["user_id"]].append(event["pin_id"])
    assert {user: len(found) for user, found in users.items()} == expected
    for found in users.values():
        assert found == sorted(found)  # one user's events share a partition: they come in the order of emit()
    for events in sessions.values():
        assert sorted(event["seq"] for event in events) == list(range(1, len(events) + 1))
    return sessions


def read(kafka: str, topic: str) -> list[dict[str, Any]]:
    """Read a topic to its end with a consumer that has nothing to do with the producer."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    decoder, events, ended = Decoder(builtin()), [], 0
    while ended < 3:
        message = consumer.poll(120)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
        else:
            value = message.value()
            assert value is not None
            events.append(decoder.decode(value))
    consumer.close()
    return events


def test_fork_before_first_use(servers: Servers) -> None:
    """A prefork master that never emits: each worker has its own session, and its exit delivers everything."""
    program = """
pids = []
for user in range(4):
    pid = os.fork()
    if pid == 0:
        emit(200, user)
        sys.exit(0)
    pids.append(pid)
wait(*pids)
"""
    assert len(run(servers, program, dict.fromkeys(range(4), 200))) == 4


def test_fork_after_first_use(servers: Servers) -> None:
    """A parent with events under way: children start afresh, the parent goes on, nothing is lost or doubled."""
    program = """
emit(500, 0)
pids = []
for user in range(1, 4):
    pid = os.fork()
    if pid == 0:
        emit(200, user)
        sys.exit(0)
    pids.append(pid)
for n in range(500, 600):
    assert log.emit(Pin(user_id=0, pin_id=n, action="SAVE"))
wait(*pids)
assert log.flush(120)
assert log.counts().acked == 600, log.counts()
"""
    assert len(run(servers, program, {0: 600, 1: 200, 2: 200, 3: 200})) == 4


def test_a_child_that_emits_nothing_ends_at_once(servers: Servers) -> None:
    """Inheriting a log that is in use costs a child nothing at its exit: no hang on what belongs to the parent."""
    program = """
emit(100, 0)
assert log.flush(120)
for _ in range(20):
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        assert log.flush() and log.close() and log.counts().accepted == 0
        sys.exit(0)
    wait(pid)
    assert time.monotonic() - started < 60
"""
    run(servers, program, {0: 100})


def test_grandchildren(servers: Servers) -> None:
    """Each generation forgets what it inherited from every one before it."""
    program = """
emit(50, 0)
def descend(depth):
    pid = os.fork()
    if pid == 0:
        emit(50, depth)
        if depth < 4:
            descend(depth + 1)
        sys.exit(0)
    wait(pid)
descend(1)
"""
    assert len(run(servers, program, dict.fromkeys(range(5), 50))) == 5


def test_multiprocessing_children_close_their_log(servers: Servers) -> None:
    """multiprocessing ends its children without atexit; their events arrive all the same, before and after use."""
    program = """
context = multiprocessing.get_context("fork")
emit(100, 0)
workers = [context.Process(target=emit, args=(100, user)) for user in (1, 2, 3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
    assert worker.exitcode == 0
"""
    assert len(run(servers, program, dict.fromkeys(range(4), 100))) == 4


def test_forking_while_threads_emit(servers: Servers) -> None:
    """Locks that other threads hold at the moment of the fork are not the child's: 15 forks into a busy log."""
    program = """
stop = threading.Event()
counts = [0, 0, 0]
def busy(user):
    while not stop.is_set():
        if log.emit(Pin(user_id=user, pin_id=counts[user], action="SAVE")):
            counts[user] += 1
        time.sleep(0.0002)
threads = [threading.Thread(target=busy, args=(user,)) for user in range(3)]
for thread in threads:
    thread.start()
for child in range(15):
    pid = os.fork()
    if pid == 0:
        emit(5, 100 + child)
        sys.exit(0)
    wait(pid)
stop.set()
for thread in threads:
    thread.join()
assert log.close(120)
assert log.counts().acked == sum(counts)
emitted = sum(counts)
pid = os.fork()
if pid == 0:
    report = EventLog(service="report", kafka=sys.argv[1], topic_prefix=sys.argv[2], close_timeout_s=120)
    report.emit(Pin(user_id=999, pin_id=emitted, action="SAVE"))
    sys.exit(0)
wait(pid)
"""
    topic = servers.new_topic() + "."
    servers.new_topic(partitions=3, name=topic + "pin")
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", PRELUDE + program, servers.kafka, topic],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    events = read(servers.kafka, topic + "pin")
    (emitted,) = [event["pin_id"] for event in events if event["user_id"] == 999]
    assert sum(event["user_id"] < 3 for event in events) == emitted
    assert sum(100 <= event["user_id"] < 115 for event in events) == 75


def test_exit_delivers_without_close(servers: Servers) -> None:
    """An app that simply ends, by its last line, sys.exit or an exception, loses nothing that was accepted."""
    run(servers, "emit(1000, 0)", {0: 1000})
    program = "emit(300, 1)\nimport atexit\natexit.register(emit, 10, 2)\nsys.exit(0)"
    run(servers, program, {1: 300, 2: 10})


def test_gunicorn_workers_deliver_everything(servers: Servers, tmp_path: Any) -> None:
    """Under a prefork server with preloaded code, events of all workers arrive when it is stopped."""
    topic = servers.new_topic() + "."
    servers.new_topic(partitions=3, name=topic + "pin")
    (tmp_path / "app.py").write_text(
        "import os\n"
        "from headrace.producer import EventLog\n"
        "from headrace.schemas import Pin\n"
        "log = EventLog.from_env(close_timeout_s=25)\n"
        "log.emit(Pin(user_id=1, pin_id=0, action='SAVE'))\n"
        "def app(environ, start_response):\n"
        "    ok = log.emit(Pin(user_id=os.getpid(), pin_id=int(environ['QUERY_STRING']), action='SAVE'))\n"
        "    start_response('200 OK', [])\n"
        "    return [str(ok).encode()]\n"
    )
    client = (
        "import sys, urllib.request\n"
        "for n in range(200):\n"
        "    assert urllib.request.urlopen(f'http://127.0.0.1:{sys.argv[1]}/?{n}', timeout=60).read() == b'True'\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", "127.0.0.1:0", "app:app"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={"HEADRACE_KAFKA": servers.kafka, "HEADRACE_SERVICE": "web", "HEADRACE_TOPIC_PREFIX": topic},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        port = next(line.split(":")[-1].split()[0] for line in process.stderr if "Listening at" in line)
        subprocess.run([sys.executable, "-c", client, port], check=True, timeout=300)
    finally:
        process.terminate()
        rest = process.communicate(timeout=180)[1]
    assert process.returncode == 0, rest
    events = read(servers.kafka, topic + "pin")
    assert sorted(event["pin_id"] for event in events if event["user_id"] != 1) == list(range(200))
    assert sum(event["user_id"] == 1 for event in events) == 1


def test_a_fork_waits_for_a_handle_that_is_still_connecting() -> None:
    """Until the handle has had an answer, for its threads may hold the resolver's lock; and never without end."""
    program = """
import os, threading
from headrace.producer import forks

class Handle: ...

first, second, heard = Handle(), Handle(), []
forks.NEW_S = 60.0
forks.hold(first)

def answer():
    heard.append(True)
    forks.answered(first)

threading.Timer(0.2, answer).start()
pid = os.fork()
if pid == 0:
    os._exit(0 if heard else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
forks.NEW_S = 0.2
forks.hold(second)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
print("both")
"""
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("both\n", "")


def test_a_child_never_destroys_a_handle_that_it_inherited() -> None:
    """A held handle whose last reference goes in a forked child is not destroyed there; in its own process it is."""
    program = """
import gc, os, sys
from headrace.producer import forks

class Handle:
    def __del__(self):
        print(f"destroyed in {'parent' if os.getpid() == parent else 'child'}", flush=True)

parent, handle, generation = os.getpid(), Handle(), forks.generation()
forks.hold(handle)
pid = os.fork()
if pid == 0:
    assert forks.generation() == generation + 1
    forks.release(handle)
    del handle
    gc.collect()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert forks.generation() == generation
forks.release(handle)
del handle
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "destroyed in parent\n"


def test_producer_and_schemas_are_light() -> None:
    """What app servers import brings in nothing of the archive's, and does so quickly."""
    program = (
        "import json, sys, headrace.producer, headrace.schemas, headrace.schemas.catalog\n"
        "heavy = ('pyarrow', 'numpy', 'boto3', 'datafusion', 'duckdb', 'click', 'rich')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(done.stdout) == []
