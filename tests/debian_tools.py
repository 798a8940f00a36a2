"""Programs that tests look at headrace with: Prometheus, Alertmanager, Chromium. From PATH, or from Debian.

What is not on PATH is fetched with `apt-get --download-only` and unpacked with `dpkg -x` into the user's cache: that
needs no root, installs nothing, and starts no service. Where neither can be done the test that asks is skipped, with
the reason. HEADRACE_TEST_TOOLS names another folder for the cache.
"""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

FETCH_TIMEOUT_S = 240.0
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell", "chrome-headless-shell")


@dataclass(frozen=True)
class Tool:
    """A program, and the environment that it needs."""

    path: str
    env: dict[str, str]


@cache
def prometheus() -> Tool:
    """Return Prometheus, or skip the test."""
    return _found("prometheus") or _unpacked("prometheus", "usr/bin/prometheus")


@cache
def promtool() -> Tool:
    """Return promtool, or skip the test."""
    return _found("promtool") or _unpacked("prometheus", "usr/bin/promtool")


@cache
def alertmanager() -> Tool:
    """Return Alertmanager, or skip the test."""
    names = ("alertmanager", "prometheus-alertmanager")
    return _found(*names) or _unpacked("prometheus-alertmanager", "usr/bin/prometheus-alertmanager")


@cache
def chromium() -> Tool:
    """Return a Chromium without a window, or skip the test."""
    packages = "chromium-headless-shell fonts-dejavu-core"
    return _found(*CHROMIUM) or _unpacked(packages, "usr/lib/chromium/chromium-headless-shell")


def _found(*names: str) -> Tool | None:
    path = next((found for name in names if (found := shutil.which(name))), None)
    return None if path is None else Tool(path, {})


def _unpacked(packages: str, program: str) -> Tool:
    named = os.environ.get("HEADRACE_TEST_TOOLS")
    base = Path(named) if named else Path.home() / ".cache" / "headrace" / "test-tools"
    folder = base / packages.replace(" ", "+")
    path = folder / program
    if not path.exists():
        problem = _fetch(packages.split(), folder)
        if problem or not path.exists():
            pytest.skip(f"{Path(program).name} is not on PATH, and Debian's {packages} cannot be had: {problem}")
    libraries = [str(each) for each in (folder / "usr/lib").glob("*-linux-gnu*")]
    libraries += [str(each) for each in (folder / "usr/lib").glob("*-linux-gnu*/pulseaudio")]
    return Tool(str(path), {"LD_LIBRARY_PATH": ":".join(libraries)})


def _fetch(packages: list[str], folder: Path) -> str:
    """Put what packages hold, with what they need and the machine has not, into a folder; return what went wrong."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return "this is no Debian"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test sessions may want it at once
        if folder.exists():
            return ""
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        problem = _download(packages, new / "debs")
        if problem and os.geteuid() == 0 and not _run(["apt-get", "-qq", "update"]):
            problem = _download(packages, new / "debs")  # the lists were missing, or too old
        for deb in () if problem else sorted((new / "debs").glob("*.deb")):
            problem = problem or _run(["dpkg", "-x", str(deb), str(new)])
        if problem:
            shutil.rmtree(new, ignore_errors=True)
            return problem
        shutil.rmtree(new / "debs")
        new.rename(folder)
    return ""


def _download(packages: list[str], folder: Path) -> str:
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"Dir::Cache::archives={folder}", "Debug::NoLocking=1", "APT::Sandbox::User=root"]
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only"]
    return _run([*command, *(word for option in options for word in ("-o", option)), "install", *packages])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr or done.stdout or f"exit code {done.returncode}").strip()[-300:] if done.returncode else ""
