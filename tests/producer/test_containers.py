"""What containers do to an app with a spool: read-only roots, foreign folders, SIGTERM, restarts, a host's next pod.

A container is a process here, with the mount, the user, the signal or the host name that it would have. Kafka is away
while the first one lives; a second one, over a fake broker, shows what it left.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_producer import FakeBroker
from topic_events import until

from headrace.producer import EventLog
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

GRACE_S = 30
"""Kubernetes' terminationGracePeriodSeconds, unless it is set."""
ENOUGH_BYTES = 20_000
"""What an app has noted when it is told to end: some thousand events."""

ONE_EVENT = """
import os, sys
import confluent_kafka, encodings.idna
import headrace.producer.shipping_here
from headrace.producer import EventLog
from headrace.schemas import Pin
if len(sys.argv) > 2:  # only now: the interpreter may lie where this user can't read
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
log = EventLog(service="web", spool=sys.argv[1], kafka="127.0.0.1:1", close_timeout_s=0.1)
assert log.emit(Pin(user_id=1, pin_id=1, action="SAVE"))
print(log.counts().durability, log.counts().queued)
log.close(0.1)
print(dict(log.counts().dropped))
"""

BUSY = """
import itertools, signal, sys
from headrace.producer import EventLog
from headrace.schemas import Pin
def end(*_):
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
log = EventLog(service="web", spool=sys.argv[1], host=sys.argv[2], kafka="127.0.0.1:1", close_timeout_s=1)
first = int(sys.argv[3])
for number in itertools.count(first):
    if log.emit(Pin(user_id=1, pin_id=number, action="SAVE")):
        sys.stdout.write(f"{number}\\n")
"""


def command(program: str, *args: object) -> list[str]:
    return [sys.executable, "-W", "error", "-c", program, *map(str, args)]


def busy_until_sigterm(spool: Path, host: str, first: int) -> list[int]:
    """Run an app that emits without end, and end it as a kubelet does; return what it accepted."""
    out = spool.parent / f"accepted-{host}-{first}"
    with out.open("w") as file:
        app = subprocess.Popen(command(BUSY, spool, host, first), stdout=file)
        try:
            until(lambda: out.stat().st_size > ENOUGH_BYTES)
            app.send_signal(signal.SIGTERM)
            assert app.wait(GRACE_S) == 0
        finally:
            app.kill()
            app.wait()
    return [int(line) for line in out.read_text().split()]


def next_one(spool: Path, host: str, waiting: int) -> list[int]:
    """Start the service's next container, and have it adopt `waiting` events; return what it delivered for them."""
    broker = FakeBroker()
    with EventLog(service="web", spool=spool, host=host, kafka="x", make_producer=broker.make_producer) as log:
        assert log.emit(Pin(user_id=2, pin_id=-1, action="SAVE"))
        until(lambda: log.counts().adopted >= waiting)
        assert log.flush(120)
        assert log.counts().adopted_lost == {}
    return [pin for pin in (decode(value, builtin())["pin_id"] for value in broker.values("pin")) if pin >= 0]


def test_a_read_only_root_means_memory(tmp_path: Path) -> None:
    """On a file system that is mounted read-only events are accepted, wait in memory, and counts() says both that and
    what is lost at exit; a volume that may be written to makes it the disk."""
    root, volume = tmp_path / "root", tmp_path / "root" / "volume"
    volume.mkdir(parents=True)
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs the right to make mount namespaces: {tried.stderr.strip()}")
    mounts = (
        'mount --bind "$0" "$0" && mount --bind "$0/volume" "$0/volume" && mount -o remount,bind,ro "$0" && exec "$@"'
    )
    inside = ["unshare", "-m", "sh", "-c", mounts, str(root)]
    for spool, said in (
        (root / "spool", "memory 1\n{'undelivered': 1}\n"),
        (volume / "spool", "disk 1\n{}\n"),
    ):
        done = subprocess.run([*inside, *command(ONE_EVENT, spool)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
        assert ("Read-only file system" in done.stderr) == (spool.parent == root)


def test_another_users_folder_means_memory(tmp_path: Path) -> None:
    """A service's folder that root has made can't be used by another user: memory, and a warning that says why."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a folder that another user may not write to, and to be that user")
    (tmp_path / "spool" / "web").mkdir(parents=True, mode=0o755)
    done = subprocess.run(command(ONE_EVENT, tmp_path / "spool", 65534), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "memory 1\n{'undelivered': 1}\n"), done.stderr
    assert "Permission denied" in done.stderr


def test_sigterm_leaves_everything_in_the_spool(tmp_path: Path) -> None:
    """An app under load, without a Kafka, that makes of SIGTERM an exit: it ends soon after `close_timeout_s`, well
    within the grace period, and what it accepted is in the spool."""
    began = time.monotonic()
    accepted = busy_until_sigterm(tmp_path / "spool", "pod-1", 0)
    print(f"{len(accepted)} accepted, ended after {time.monotonic() - began:.1f} s")
    assert len(accepted) > 1000
    delivered = next_one(tmp_path / "spool", "pod-1", len(accepted))
    assert delivered[: len(accepted)] == accepted
    assert len(delivered) - len(accepted) <= 1  # the signal came between emit() and the note that it was accepted


@pytest.mark.parametrize("next_host", ["pod-1", "pod-2"], ids=["emptyDir", "hostPath"])
def test_the_next_container_on_the_volume_adopts(tmp_path: Path, next_host: str) -> None:
    """emptyDir: the container is started again, under the same host name. hostPath: another pod, with another name,
    comes onto the same folder. Both deliver what two earlier containers left, in order for each, and leave nothing."""
    spool = tmp_path / "spool"
    first = busy_until_sigterm(spool, "pod-1", 0)
    second = busy_until_sigterm(spool, "pod-1", 10_000_000)
    delivered = next_one(spool, next_host, len(first) + len(second))
    for accepted, lowest in ((first, 0), (second, 10_000_000)):
        own = [pin for pin in delivered if lowest <= pin < lowest + 10_000_000]
        assert own[: len(accepted)] == accepted
    assert list((spool / "web").iterdir()) == []
