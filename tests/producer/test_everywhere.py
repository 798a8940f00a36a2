"""The same two lines under real servers: what was emitted before and after a fork, under load and at exit arrives.

Each app writes down, after emit() has returned True, which event of which process that was; the test reads the topic
and compares. The events of all apps: one at import, one for each request, task or child, one at the end of a process.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Servers
from topic_events import check_order, events_of, until

pytestmark = pytest.mark.servers

PARTITIONS = 3
REQUESTS = 150

# What each app imports. HERE is a folder of the test's.
COMMON = """
import itertools, os, sys, threading
from headrace.producer import EventLog
from headrace.schemas import Pin

log = EventLog.from_env(service="web", topic=os.environ["TOPIC"], strict=True, close_timeout_s=25)
_numbers = {}

def emit():
    pid = os.getpid()
    number = next(_numbers.setdefault(pid, itertools.count()))
    assert log.emit(Pin(user_id=pid, pin_id=number, action="SAVE")), log.counts()
    fd = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d %d\\n" % (pid, number))
    os.close(fd)

if os.environ.get("EARLY"):
    emit()
"""

WSGI = """
import common

def app(environ, start_response):
    common.emit()
    start_response("200 OK", [("Content-Length", "2"), ("Connection", "close")])
    return [b"ok"]

def worker_exit(server, worker):
    common.emit()
"""

ASGI = """
import common

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                common.emit()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    common.emit()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""

CELERY = """
import os
import celery
import celery.signals
import common

folder = os.environ["QUEUE"]
app = celery.Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "-control"
    },
    task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
)

@app.task(name="emit")
def emit():
    common.emit()

@celery.signals.worker_process_shutdown.connect
def at_exit(**_):
    common.emit()
"""

THREADS = """
import threading, common

def work():
    for _ in range(100):
        common.emit()

threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
common.emit()
"""

ASYNCIO = """
import asyncio, common

async def work():
    for _ in range(100):
        common.emit()
        await asyncio.sleep(0)

async def main():
    await asyncio.gather(*(work() for _ in range(8)))

asyncio.run(main())
common.emit()
"""

MULTIPROCESSING = """
import multiprocessing, sys, common

def work(count):
    for _ in range(count):
        common.emit()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for _ in range(2):
        children = [context.Process(target=work, args=(50,)) for _ in range(3)]
        for each in children: each.start()
        common.emit()
        for each in children: each.join()
        assert [each.exitcode for each in children] == [0, 0, 0], children
    with context.Pool(2, maxtasksperchild=5) as pool:
        pool.map(work, [3] * 20, chunksize=1)
        pool.close()
        pool.join()
    common.emit()
"""


class App:
    """A folder with an app in it, its environment, and the processes that the test started there."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.topic = servers.new_topic(partitions=PARTITIONS)
        self.journal = folder / "journal"
        self.spool = folder / "spool"
        self.output = folder / "output"
        self.env = {
            **os.environ,
            "HEADRACE_KAFKA": servers.kafka,
            "HEADRACE_SPOOL": str(self.spool),
            "TOPIC": self.topic,
            "JOURNAL": str(self.journal),
            "QUEUE": str(folder / "queue"),
            "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        self.started: list[subprocess.Popen[bytes]] = []
        (folder / "common.py").write_text(COMMON)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            made = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env=self.env, stdout=output, stderr=output
            )
        self.started.append(made)
        return made

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM, code: int | None = 0) -> None:
        process.send_signal(number)
        ended = process.wait(180)
        assert code is None or ended == code, self.output.read_text()

    def run(self, *arguments: str) -> None:
        assert self.start(*arguments).wait(300) == 0, self.output.read_text()

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def ship_the_rest(self) -> None:
        """Deliver what processes left in the spool that were ended without a chance to close their log."""
        ship = "from headrace.cli.main import main; main()"
        self.run("-c", ship, "ship", str(self.spool), "--until-empty")

    def check(self, events_min: int, processes_min: int) -> None:
        """Compare what was promised with what is in Kafka, once the spool is empty; twice only with one event id."""
        assert list(self.spool.glob("*/*")) == [], self.output.read_text()
        found = events_of(self.servers.kafka, self.topic, PARTITIONS)
        ids = {event["event_id"]: f"{event['user_id']} {event['pin_id']}" for each in found.values() for event in each}
        arrived = Counter(ids.values())
        promised = self.lines()
        assert len(promised) == len(set(promised))
        assert set(promised) == set(arrived), self.output.read_text()
        assert set(arrived.values()) == {1}
        assert len(promised) >= events_min
        assert len({line.split()[0] for line in promised}) >= processes_min
        check_order(found)


@pytest.fixture
def app(servers: Servers, tmp_path: Path) -> Iterator[App]:
    """An app in a folder of its own; what still runs at the end is killed."""
    made = App(servers, tmp_path)
    yield made
    for each in made.started:
        if each.poll() is None:
            each.kill()
            each.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def load(port: int, requests: int = REQUESTS) -> None:
    """Send requests from several threads; one that a worker's end cut is sent again."""
    todo = iter(range(requests))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(todo, None) is None:
                    return
            deadline = time.monotonic() + 180
            while not get(port):
                assert time.monotonic() < deadline

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def get(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read() == b"ok"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def asked_in_vain(port: int) -> bool:
    """Send one more request, and return False."""
    get(port)
    return False


@pytest.mark.parametrize("early", [True, False], ids=["after-first-use", "before-first-use"])
@pytest.mark.parametrize(
    "how",
    [["--preload"], [], ["--preload", "--worker-class", "gthread", "--threads", "4"]],
    ids=["preload", "no-preload", "gthread"],
)
def test_gunicorn(app: App, how: list[str], early: bool) -> None:
    """Workers that fork before or after the first event, end and are replaced under load, and are told to stop."""
    app.write("wsgi.py", WSGI)
    app.env["EARLY"] = "1" if early else ""
    port = free_port()
    config = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--max-requests", "40", "--config", "wsgi.py"]
    server = app.start("-m", "gunicorn", *config, *how, "wsgi:app")
    until(lambda: get(port))
    load(port)
    app.end(server)
    app.check(REQUESTS, 2)


def test_uvicorn_with_workers(app: App) -> None:
    """Spawned workers of an asyncio server, which emit in the event loop and once more at shutdown. uvicorn ends them
    by the signal that it caught, without atexit: what was not sent by then is in the spool, for whoever comes next."""
    app.write("asgi.py", ASGI)
    app.env["EARLY"] = "1"
    port = free_port()
    server = app.start("-m", "uvicorn", "--port", str(port), "--workers", "2", "asgi:app")
    until(lambda: get(port))
    load(port)
    app.end(server, code=None)
    app.ship_the_rest()
    app.check(REQUESTS, 2)


def test_celery_prefork(app: App) -> None:
    """Celery's forked pool, whose children are replaced after some tasks, without any server beside it. Those that it
    ends hard leave what was not sent in the spool, for whoever comes next."""
    (app.folder / "queue").mkdir()
    (app.folder / "queue-control").mkdir()
    app.write("tasks.py", CELERY)
    app.env["EARLY"] = "1"
    worker = app.start(
        "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2",
        "--max-tasks-per-child", "20", "--without-gossip", "--without-mingle", "--without-heartbeat",
    )  # fmt: skip
    sender = app.start("-c", "import tasks\nfor _ in range(100): tasks.emit.delay()")
    assert sender.wait(180) == 0, app.output.read_text()
    until(lambda: len(app.lines()) >= 100 + 2 or worker.poll() is not None)
    until(lambda: list((app.folder / "queue").iterdir()) == [] or worker.poll() is not None)
    app.end(worker)
    app.ship_the_rest()
    app.check(100, 3)


@pytest.mark.parametrize("early", [True, False], ids=["after-first-use", "before-first-use"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(app: App, method: str, early: bool) -> None:
    """Children of each start method, and a pool that replaces its own, while the parent emits too."""
    app.write("program.py", MULTIPROCESSING)
    app.env["EARLY"] = "1" if early else ""
    app.run("program.py", method)
    app.check(6 * 50 + 60 + 3, 7)


@pytest.mark.parametrize("program", [THREADS, ASYNCIO], ids=["threads", "asyncio"])
def test_one_process(app: App, program: str) -> None:
    """Many threads, or many tasks, of one process that just ends."""
    app.write("program.py", program)
    app.run("program.py")
    app.check(801, 1)


EVENTLET = """
import sys, warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
import eventlet.wsgi
import wsgi
eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), wsgi.app, log_output=False)
"""


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_greenlet_servers(app: App, kind: str) -> None:
    """gunicorn's gevent workers, and eventlet's own server, which patch the threads away, with `headrace ship` beside
    them. (gunicorn has no eventlet worker any more.)"""
    app.write("wsgi.py", WSGI)
    app.write("eventlet_server.py", EVENTLET)
    app.env["HEADRACE_SHIP"] = "separate"
    app.spool.mkdir()
    ship = app.start("-c", "from headrace.cli.main import main; main()", "ship", str(app.spool))
    port = free_port()
    config = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--max-requests", "60", "--config", "wsgi.py"]
    gunicorn = ["-m", "gunicorn", *config, "--worker-class", "gevent", "wsgi:app"]
    server = app.start(*gunicorn) if kind == "gevent" else app.start("eventlet_server.py", str(port))
    until(lambda: get(port))
    load(port)
    processes = 2 if kind == "gevent" else 1
    # Who takes a request is chance, but a worker ends some time after its 60th, and another one takes what comes then.
    until(lambda: len({line.split()[0] for line in app.lines()}) >= processes or asked_in_vain(port))
    app.end(server, code=0 if kind == "gevent" else -signal.SIGTERM)
    until(lambda: list(app.spool.glob("*/*")) == [])
    app.end(ship)
    app.check(REQUESTS, processes)
