"""LocalStack as the S3 server, in host mode: plain Python in a virtual environment of its own, no Docker.

A second opinion beside SeaweedFS, for whoever tests against LocalStack anyway. It keeps nothing over its own end, and
lists no more than a page of keys with a `=` (localstack/README.md), which is why it is not the default.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from . import lock
from .errors import LocalError
from .places import default_cache
from .process import Process
from .seaweed import Credentials, S3Ports, S3Server

KINDS = ("seaweedfs", "localstack")
STOP_GRACE_S = 15.0
_PYTHON = (3, 11)
_INSTALL_TIMEOUT_S = 1800.0


class LocalStackServer(S3Server):
    """The S3 server of one instance, run by the interpreter of `venv`. Of the ports it takes the first alone.

    Its data lie in `s3/`, and are of no use to the next start, as LocalStack has it. It looks at no signature.
    """

    name = "S3 (LocalStack)"

    def __init__(self, folder: Path, listen: S3Ports, credentials: Credentials, venv: Path) -> None:
        super().__init__(folder, listen, credentials)
        self._venv = venv
        self._folder = folder
        # `-X` takes any name, so that this argument is ours alone and changes nothing.
        self._mark = f"headrace={folder / 's3'}"
        self.process = Process(self.name, self._mark, folder / "run" / "s3.pid", folder / "logs" / "s3.log")

    def start(self) -> None:
        """Start with empty data; returns before it is ready."""
        home = self._folder / "s3"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        # DISABLE_EVENTS: it reports nothing to its makers. SKIP_SSL_CERT_DOWNLOAD, DNS_ADDRESS=0: no network either.
        env = {
            "SERVICES": "s3",
            "GATEWAY_LISTEN": f"127.0.0.1:{self.listen.s3}",
            "FILESYSTEM_ROOT": str(home),
            "OVERRIDE_IN_DOCKER": "0",  # in somebody's container it would take /etc and /var for its own
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
        }
        python = str(self._venv / "bin" / "python")
        self.process.start([python, "-X", self._mark, "-m", "localstack.runtime.main"], home, env)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the server."""
        self.process.stop(grace_s)


def install(venv: Path, progress: Callable[[str], None]) -> None:
    """Make the virtual environment from the hash-pinned lock, unless it is there as the lock has it.

    Raises LocalError without Python 3.11, the one that LocalStack 4.7.0 was tried with, and when pip fails.
    """
    wanted = files("headrace.local").joinpath("localstack.lock").read_text()
    stamp = venv / ".installed"
    with lock.held(venv.parent / f"{venv.name}.lock", progress):
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        progress(f"installing LocalStack into {venv} (once; 535 MB)")
        listed = venv.parent / f"{venv.name}.requirements.txt"
        listed.write_text(wanted)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([_python(), "-m", "venv", "--clear", str(venv)])
        _run([*pip, "--require-hashes", "-r", str(listed)])
        listed.unlink()
        stamp.write_text(wanted)


def _python() -> str:
    if sys.version_info[:2] == _PYTHON:
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise LocalError(
            "LocalStack was tried with Python 3.11 only, and there is no python3.11 on PATH. Install it, or leave "
            "--s3 out for SeaweedFS"
        )
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalError(f"could not install LocalStack: {error}") from error
    if done.returncode:
        raise LocalError(f"could not install LocalStack ({' '.join(command[:4])} ...):\n{done.stderr[-1500:]}")


def s3_server(kind: str, folder: Path, listen: S3Ports, credentials: Credentials, env: Mapping[str, str]) -> S3Server:
    """Return an instance's S3 server of that kind."""
    if kind == "localstack":
        return LocalStackServer(folder, listen, credentials, venv_of(env))
    return S3Server(folder, listen, credentials)


def venv_of(env: Mapping[str, str]) -> Path:
    """Return where LocalStack is installed for this user."""
    return default_cache(env).with_name("localstack")
