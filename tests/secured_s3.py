"""A real S3 server of its own whose users have the printed policies and nothing else, and what tests ask of it.

SeaweedFS, with one user a role, keys for SSE-S3 and SSE-KMS, and a bucket that keeps old versions. A user's rights and
keys are changed while it runs: it reads its configuration again on SIGHUP.
"""

import json
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from click.testing import CliRunner
from worker_slots import wait_until

from headrace.archiver.store_policies import ROLES
from headrace.cli.main import root
from headrace.local import ports
from headrace.local.seaweed import REGION, Credentials, S3Ports, S3Server

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "secured"
URL = f"s3://{BUCKET}/team/archive"
KEY_ENCRYPTING_KEY = "5e" * 32
KMS_KEY = "headrace-key"


def printed(name: str, *more: str, url: str = URL) -> dict[str, Any]:
    """The document that `headrace store policies` prints, as an administrator would keep it."""
    done = CliRunner().invoke(root, ["store", "policies", name, "--archive", url, *more])
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class SecuredS3:
    """The running server. Every user's secret begins with `secret-of-`, which no message may hold."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.admin = server.client()

    def env(self, role: str) -> dict[str, str]:
        """The variables of a role."""
        return {
            "AWS_ENDPOINT_URL_S3": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": role,
            "AWS_SECRET_ACCESS_KEY": f"secret-of-{role}",
            "AWS_REGION": REGION,
        }

    def client(self, role: str) -> "S3Client":
        """A client of a role, which does not try again."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.server.endpoint,
            aws_access_key_id=role,
            aws_secret_access_key=f"secret-of-{role}",
            region_name=REGION,
            config=Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )

    def change(
        self, *, secrets: Mapping[str, str] | None = None, policies: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        """Give roles other secrets or policies than their own; what is not named is as at the start."""
        self.server.configure(_config(secrets or {}, policies or {}))
        self.server.process.send(signal.SIGHUP)


def _config(secrets: Mapping[str, str], policies: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    identities = [
        {
            "name": role,
            "credentials": [{"accessKey": role, "secretKey": secrets.get(role, f"secret-of-{role}")}],
            "policyNames": [role],
        }
        for role in ROLES
    ]
    documents = [{"name": role, "content": json.dumps(policies.get(role) or printed(role))} for role in ROLES]
    kms = {"default_provider": "local", "providers": {"local": {"type": "local", "enableOnDemandCreate": True}}}
    return {"identities": identities, "policies": documents, "kms": kms}


def _ready(server: S3Server) -> bool:
    assert server.process.pid is not None, server.why_dead()
    return server.prepare()


@contextmanager
def secured_s3(folder: Path) -> Iterator[SecuredS3]:
    """Start the server in an empty folder, with a bucket that keeps versions; stop it at the end."""
    server = S3Server(
        folder,
        S3Ports(*ports.choose(8, random.SystemRandom())),
        Credentials("administrator", "secret-of-administrator"),
        more_config=_config({}, {}),
        more_env={"WEED_S3_SSE_KEK": KEY_ENCRYPTING_KEY},
    )
    server.start()
    try:
        wait_until(lambda: _ready(server), "the secured S3 server answers")
        made = SecuredS3(server)
        made.admin.create_bucket(Bucket=BUCKET)
        made.admin.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield made
    finally:
        server.stop()
