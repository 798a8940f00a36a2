"""The five-minute guide of docs/producer.md, and its page on testing: each snippet runs as it is printed.

The blocks are written to files under the names that their first lines give, and driven in a process of their own, where
EventLog is the recording one.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from house.tree import ROOT

PAGE = (ROOT / "docs" / "producer.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Before anything else: the app's EventLog is the fake.
RECORDED = """
import logging
import headrace.producer
from headrace.producer.testing import RecordingLog, assert_logged, assert_logged_exactly, matching
headrace.producer.EventLog = RecordingLog
from headrace.schemas import Error, Pin
SAVED = matching(Pin, user_id=7, pin_id=9, action="SAVE", service=SERVICE)
"""

FLASK = """
SERVICE = "web"
exec(RECORDED)
from flask_app import app, log
client = app.test_client()
assert client.post("/pins/9", json={"user": 7}).status_code == 201
assert client.post("/pins/9", json={"user": "seven"}).status_code == 201
assert client.post("/pins/9", json=[]).status_code == 500
failed = matching(Error, exception_type="TypeError", path="/pins/<int:pin>", logger="flask_app")
assert_logged_exactly(log, SAVED, failed)
assert log.counts().dropped == {"invalid": 1}
"""

DJANGO = """
SERVICE = "web"
exec(RECORDED)
import sys, types
import settings
import django
from django.conf import settings as configured
configured.configure(
    LOGGING=settings.LOGGING, ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.db import transaction
from django.test import Client
from django.urls import path
import views
from events import log

def rolled_back(request, user, pin):
    with transaction.atomic():
        views.save(request, user, pin)
        raise LookupError("no such pin")

sys.modules["urls"] = types.SimpleNamespace(urlpatterns=[
    path("users/<int:user>/pins/<int:pin>", views.save), path("broken/<int:user>/<int:pin>", rolled_back),
])
client = Client(raise_request_exception=False)
assert client.post("/users/7/pins/9").status_code == 201
assert client.post("/broken/7/10").status_code == 500
assert_logged_exactly(log, SAVED, matching(Error, exception_type="LookupError", logger="django.request"))
"""

FASTAPI = """
SERVICE = "web"
exec(RECORDED)
import threading, urllib.error, urllib.request
import uvicorn
config = uvicorn.Config("fastapi_app:app", host="127.0.0.1", port=0, loop="asyncio", http="h11", log_level="error")
config.load()  # as the server does: logging first, then the app
from fastapi_app import app, log

@app.get("/broken")
async def broken():
    raise LookupError("no such pin")

server = uvicorn.Server(config)
thread = threading.Thread(target=server.run, daemon=True)
thread.start()
import time
deadline = time.monotonic() + 180
while not server.started:
    assert time.monotonic() < deadline and thread.is_alive()
    time.sleep(0.01)
(port,) = {sock.getsockname()[1] for each in server.servers for sock in each.sockets}
base = f"http://127.0.0.1:{port}"
with urllib.request.urlopen(urllib.request.Request(base + "/users/7/pins/9", method="POST"), timeout=60) as answer:
    assert answer.status == 201
try:
    urllib.request.urlopen(base + "/broken", timeout=60)
except urllib.error.HTTPError as error:
    assert error.code == 500
    error.close()
server.should_exit = True
thread.join(60)
assert_logged_exactly(log, SAVED, matching(Error, exception_type="LookupError", logger="uvicorn.error"))
"""

CELERY = """
SERVICE = "worker"
exec(RECORDED)
from celery.signals import worker_process_shutdown
from celery_app import app, log, save

@app.task
def broken():
    raise LookupError("no such pin")

app.conf.update(broker_url="memory://", broker_connection_retry_on_startup=False)
from celery.contrib.testing.worker import start_worker
import time
with start_worker(app, pool="solo", perform_ping_check=False, loglevel="INFO"):
    save.delay(7, 9)
    broken.delay()
    deadline = time.monotonic() + 180
    while len(log.logged) < 2:
        assert time.monotonic() < deadline, log.logged
        time.sleep(0.01)
assert_logged_exactly(log, SAVED, matching(Error, exception_type="LookupError", logger="celery.app.trace"))
worker_process_shutdown.send(None)
assert log.emit(Pin(user_id=7, pin_id=9, action="SAVE")) is False
"""

APP = """
from headrace.producer import EventLog
from headrace.schemas import FeedLoad, Pin
log = EventLog(service="web", kafka="nobody:9092")
def save(user, pin):
    log.emit(FeedLoad(kind="HOME", success=True, items=1, latency_ms=1))
    log.emit(Pin(user_id=user, pin_id=pin, action="SAVE"))
"""


def snippets() -> dict[str, str]:
    """The guide's blocks by file name; no two have one name."""
    found = BLOCK.findall(PAGE)
    assert len(dict(found)) == len(found)
    return dict(found)


def run(folder: Path, *command: str) -> str:
    """Run Python in a folder that holds the guide's files."""
    for name, text in snippets().items():
        (folder / name).write_text(text)
    env = {**os.environ, "HEADRACE_KAFKA": "nobody:9092", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("driver", [FLASK, DJANGO, FASTAPI, CELERY], ids=["flask", "django", "fastapi", "celery"])
def test_the_guides_snippet_logs_events_and_errors(driver: str, tmp_path: Path) -> None:
    """What the page prints saves a pin in that framework, and an unhandled exception becomes an error event."""
    (tmp_path / "driver.py").write_text(f"RECORDED = {RECORDED!r}\n{driver}")
    run(tmp_path, "-W", "error::DeprecationWarning:headrace", "driver.py")


def test_the_page_on_testing_is_right(tmp_path: Path) -> None:
    """Its conftest and its test pass with pytest, for an app that logs what the test expects."""
    (tmp_path / "myapp.py").write_text(APP)
    told = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_pins.py")
    assert "1 passed" in told


def test_every_named_block_is_run() -> None:
    """A block with a file's name that no test here uses would be printed and never tried."""
    used = {"flask_app.py", "events.py", "settings.py", "views.py", "fastapi_app.py", "celery_app.py"}
    assert set(snippets()) == used | {"conftest.py", "test_pins.py"}
