"""The README's first five minutes, typed as they stand, by each of its three readers."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.local import Instance
from house.tree import ROOT

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Done by the fixture, in folders of its own.
PREPARED = (". .venv/bin/activate", "headrace local up")


def section(title: str) -> str:
    """Return what stands below a heading, up to the next one."""
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """The environment of somebody who has just started local servers: nothing is on them yet."""
    # Not below pytest's folder, whose name is too long for some sockets.
    folder = Path(tempfile.mkdtemp(prefix="headrace-readme-"))
    instance = Instance(folder / "servers", env=os.environ)
    try:
        instance.up()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, **instance.env(), "PATH": path, "HOME": str(folder)}
        # Kafka hands out its first producer id late; on a busy machine a short program's exit would not wait for it.
        first = 'echo \'{"success": true, "method": "SSO"}\' | headrace produce login --create-topic 1'
        run("sh", first, env, folder)
        yield env
    finally:
        instance.down(purge=True)
        shutil.rmtree(folder)


@pytest.mark.servers
def test_the_first_five_minutes_work_as_written(env: dict[str, str], tmp_path: Path) -> None:
    """Every block of the sections, in order, ends with 0; the event that was logged comes back, and yesterday does."""
    shutil.copytree(ROOT / "schemas", tmp_path / "my_schemas", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shown = [
        run(language, block, env, tmp_path)
        for reader in ("app developer", "data engineer", "on-call")
        for language, block in BLOCK.findall(section(f"First five minutes: {reader}"))
    ]
    assert len(shown) == 7
    assert '"pin_id":9' in shown[5]
    assert "pin: fine." in shown[5]
    (yesterday,) = (
        run(language, block, env, tmp_path) for language, block in BLOCK.findall(section("Replay yesterday"))
    )
    assert "replayed 1 records of pin into" in yesterday
    assert "as its receipt says; 1 records in 1 targets read" in yesterday
    assert "into pin_yesterday, all 1 parts checked" in yesterday
    assert (tmp_path / "yesterday.parquet").is_file()
    assert (tmp_path / "my_events.py").is_file()
    assert len((tmp_path / "first.jsonl").read_text().splitlines()) == 1


def run(language: str, block: str, env: dict[str, str], folder: Path) -> str:
    """Run one block as a shell or Python would; return what it printed."""
    if language == "python":
        command = [sys.executable, "-c", block]
    else:
        lines = [line for line in block.splitlines() if not line.startswith(PREPARED)]
        command = ["bash", "-euc", "\n".join(lines)]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout
