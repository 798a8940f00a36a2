"""LocalStack's S3 for the contract suite: a second server that others wrote, beside the one that all tests run against.

It has a virtual environment of its own (localstack/run installs it, once), so that only `make contract` asks for it, by
HEADRACE_LOCALSTACK=1.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

WANTED = os.environ.get("HEADRACE_LOCALSTACK") == "1"
RUN = Path(__file__).parent.parent / "localstack" / "run"
READY_S = 240.0  # on a busy machine; six seconds on an idle one
STOP_S = 30.0


class LocalStack:
    """A running one; what of `servers.Servers` is about S3."""

    def __init__(self, port: int) -> None:
        self.env = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        self.bucket = "headrace-contract"
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=self.env["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def s3(self) -> "S3Client":
        """Return the boto3 client."""
        client: S3Client = self._s3
        return client

    def new_prefix(self) -> str:
        """Return a key prefix that no other test uses."""
        return f"p-{uuid4().hex[:8]}"

    @property
    def store_url(self) -> str:
        """An `s3://bucket/prefix` that no other test uses: another one each time."""
        return f"s3://{self.bucket}/{self.new_prefix()}"


@contextmanager
def running(log: Path) -> Iterator[LocalStack]:
    """Start it on a free port, with an empty bucket; end it and all that it started afterwards."""
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(RUN), str(port)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        server = LocalStack(port)
        _wait_until_ready(server, process, log)
        yield server
    finally:
        _end(process)


def _wait_until_ready(server: LocalStack, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            server.s3().create_bucket(Bucket=server.bucket)
        except BotoCoreError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{RUN} does not answer on its port ({error}); it said:\n{said}") from error
            time.sleep(0.2)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; a LocalStack that does not is killed, with its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
