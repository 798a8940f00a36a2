"""Each entry point of the image, run as a container would: nobody, read-only root, no shell, no home, no capability.

`make image-check` runs the same with packages that the Dockerfile's own steps installed; here they are those that the
tests run on.
"""

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import SystemRandom

import pytest
from archiving import Archive
from confined import SHELLS, Image, empty_root, tree_image
from confluent_kafka.admin import AdminClient
from house.tree import ROOT
from kafka_changes import numbered, produce
from scraping import get
from servers import Servers
from verb_running import Said
from worker_slots import WAIT_S, wait_until

from headrace.archiver.supervisor import STOP_TIMEOUT_S
from headrace.local.ports import choose
from image.dockerfile import stages
from image.steps import installed

pytestmark = pytest.mark.servers

WITHIN = f"""
import glob, json, os, pathlib
try:
    pathlib.Path("/written").touch()
    wrote = True
except OSError:
    wrote = False
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
print(json.dumps([os.getuid(), os.getgroups(), wrote, status["CapEff"].strip(), status["NoNewPrivs"].strip(),
                  [path for path in {SHELLS} if os.path.exists(path)], os.environ.get("HOME")]))
"""


@pytest.fixture(scope="module")
def image() -> Image:
    return installed("headrace") or tree_image()


@pytest.fixture(scope="module")
def archive(servers: Servers) -> Archive:
    return Archive(servers)


@pytest.fixture(scope="module")
def topic(servers: Servers) -> str:
    name = servers.new_topic(2)
    produce(servers.kafka, name, numbered("v", 0, 100))
    return name


def run(image: Image, archive: Archive, *words: str) -> "subprocess.CompletedProcess[str]":
    command = image.command(words, empty_root())
    env = image.env(archive.env)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=WAIT_S, check=False)


@contextmanager
def lasting(image: Image, env: dict[str, str], words: Sequence[str]) -> Iterator[tuple["subprocess.Popen[str]", Said]]:
    process = subprocess.Popen(
        image.command(words, empty_root()), env=image.env(env), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = Said(process)
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()
        said.close()
        print("".join(said.lines))


def on_port(words: Sequence[str], port: int) -> list[str]:
    """The image's words with a port that is free on this machine, for its own."""
    return [word.replace("9478", str(port)).replace("8000", str(port)) for word in words]


def test_a_container_has_nothing_to_work_with(image: Image, archive: Archive) -> None:
    """What the entry points below run in: user 65532, no group, capability, shell or home, and nothing to write to."""
    told = run(image, archive, "python", "-c", WITHIN)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == [65532, [], False, "0" * 16, "1", [], None]


def test_archive_replay_exporter_and_lag_do_their_work(image: Image, archive: Archive, topic: str) -> None:
    """The image's own command archives and is healthy, and ends cleanly on SIGTERM well within the grace period.

    Then replay, lag and the exporter do what they are for.
    """
    stage, port = stages()["headrace"], choose(1, SystemRandom())[0]
    env = {**archive.env, "HEADRACE_KAFKA_SESSION_TIMEOUT_MS": "45000"}  # as in Kubernetes
    words = [*image.headrace, *on_port(stage.words("CMD"), port)]
    with lasting(image, env, [*words, "--raw", topic, "--group", archive.group, "--instance", "pod-0",
                                      "--flush-interval", "0.5"]) as (process, said):  # fmt: skip
        wait_until(lambda: any("log/" in key for key in archive.objects()), "a commit")
        admin = AdminClient({"bootstrap.servers": archive.servers.kafka})
        (member,) = admin.describe_consumer_groups([archive.group])[archive.group].result(timeout=60).members
        assert member.group_instance_id == "headrace-pod-0-0"
        healthy = run(image, archive, *on_port(stage.health_check(), port))
        assert healthy.returncode == 0, healthy.stderr
        begun = time.monotonic()
        process.terminate()
        process.wait(WAIT_S)
        print(f"SIGTERM to the end: {time.monotonic() - begun:.2f} s")
        assert process.returncode == 0, said.lines
    assert not [line for line in said.lines if "WARN" in line or "ERROR" in line]
    gone = run(image, archive, *on_port(stage.health_check(), port))
    assert gone.returncode != 0
    replayed = run(
        image, archive, *image.headrace, "replay", topic, "--into", "jsonl:/tmp/again.jsonl", "--format", "raw"
    )
    assert replayed.returncode == 0, replayed.stderr
    assert "100" in replayed.stderr + replayed.stdout
    looked = run(image, archive, *image.headrace, "lag", "--check", "--topic", topic, "--group", archive.group)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    looks = ("exporter", "--listen", "127.0.0.1:0", "--topic", topic, "--group", archive.group)
    with lasting(image, archive.env, [*image.headrace, *looks]) as (process, said):
        url = said.url()
        wait_until(lambda: b'headrace_verdict{verdict="ok"} 1.0' in get(url).body, "the exporter says that all is well")
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 0


def test_the_sample_app_logs(archive: Archive) -> None:
    """gunicorn forks its workers, answers the health check, and logs into the spool on its volume."""
    stage, port = stages()["app"], choose(1, SystemRandom())[0]
    spool = "/var/spool/headrace"
    more = {"/opt/app/app.py": ROOT / "examples" / "app.py"}
    image = installed("app", (spool,), more) or tree_image(writable=(spool,), more=more)
    env = {**archive.env, "HEADRACE_SPOOL": spool, "PYTHONPATH": "/opt/app:/opt/tree/src"}
    words = [*image.script(stage.words("ENTRYPOINT")), *on_port(stage.words("CMD"), port)]
    with lasting(image, env, words) as (process, said):

        def healthy() -> bool:
            return run(image, archive, *on_port(stage.health_check(), port)).returncode == 0

        wait_until(healthy, "the app answers")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = json.dumps({"pins": [1, 2, 3], "action": "SAVE"})
        connection.request("POST", "/users/7/pins", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("X-Events")) == (201, "pin=3"), answer.read()
        connection.close()
        process.terminate()
        assert process.wait(WAIT_S) == 0, said.lines
    assert not [line for line in said.lines if "ERROR" in line or "durability" in line], said.lines
