"""Makes an archive's bucket: versions kept, old ones removed in time, the bucket owner's, no public access, its policy.

LocalStack runs it once it is ready; by hand it needs boto3 and credentials, and may be run again at any time:

    AWS_ENDPOINT_URL_S3=http://127.0.0.1:4566 python localstack/init/ready.d/archive.py

HEADRACE_ARCHIVE names the archive, s3://headrace/archive when it is not set. The policy is the one of `headrace store
policies bucket`, but for its demand of TLS, which LocalStack does without.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

ARCHIVE = urlsplit(os.environ.get("HEADRACE_ARCHIVE", "s3://headrace/archive"))
HERE = globals().get("__file__")  # LocalStack executes the text of this file alone
POLICIES = Path(
    os.environ.get("HEADRACE_POLICIES")
    or (Path(HERE).resolve().parents[3] / "archiver" / "policies" if HERE else "/etc/localstack/init/policies")
)
ENDPOINT = os.environ.get("HEADRACE_INIT_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL_S3") or "http://127.0.0.1:4566"


def document(name: str) -> dict[str, Any]:
    """Return a document, made out to the archive."""
    text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
    prefix = ARCHIVE.path.strip("/")
    made: dict[str, Any] = json.loads(text.replace("PREFIX/", f"{prefix}/" if prefix else "").replace("BUCKET", BUCKET))
    return made


BUCKET = ARCHIVE.netloc
s3: Any = boto3.client(
    "s3",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "test"),
    aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
)
if BUCKET not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=BUCKET)
s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=document("lifecycle"))
s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=document("ownership"))
s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=document("public-access"))
policy = document("bucket")
policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "TlsOnly"]
s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
print(f"s3://{BUCKET} is ready for an archive: versions, lifecycle, ownership, public access, policy")
