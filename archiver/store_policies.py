"""The least that each role may be allowed in S3, and what the bucket itself has to refuse, as documents for AWS.

They lie beside this file, in policies/, with BUCKET and PREFIX in the place of an archive's own. Two things in them are
not obvious. s3:ListBucket is allowed below the prefix, and also where a request has no prefix: such a request is a GET
of an object that is not there, which S3 answers with 403 and not with 404 to who may not list, and the log is read on
until a 404. And nobody may overwrite what is written once, nor delete from the log, whatever else he may do.
"""

import json
from importlib.resources import files
from typing import Any

from .s3 import parse_url

ROLES = {
    "archiver": "headrace archive, log moved, log fold",
    "reader": "headrace verify, lag, files, sql, exporter, and replays into files",
    "replay": "headrace replay into Kafka, and headrace checkpoint: a reader that keeps plans, receipts and names",
    "gc": "headrace gc --delete",
    "compact": "headrace compact, quarantine retry, gc --abandon",
    "erase": "headrace erase and expire, with the old versions of objects",
}
BUCKET_DOCUMENTS = {
    "bucket": "put-bucket-policy: TLS only, nothing overwritten that is written once, nothing removed from the log",
    "ownership": "put-bucket-ownership-controls: all objects belong to the bucket's owner, and ACLs are off",
    "public-access": "put-public-access-block",
    "lifecycle": "put-bucket-lifecycle-configuration: old versions go after 30 days, for buckets that keep them",
}
NAMES = (*ROLES, *BUCKET_DOCUMENTS)
_SPECIAL = "*?$\"'\\"
_ONLY_READ = ("reader", "gc")


def policy(name: str, archive_url: str, *, kms_key: str | None = None) -> dict[str, Any]:
    """Return the document of that name for an archive. `kms_key`: the ARN of the key that encrypts its objects.

    Raises ValueError for a URL that is none, or that a policy would read as a pattern, and for a key without an ARN.
    """
    bucket, prefix = parse_url(archive_url)
    if special := {each for each in bucket + prefix if each in _SPECIAL}:
        raise ValueError(f"{archive_url} has {' '.join(sorted(special))}, which means something else in a policy")
    template = json.loads((files(__package__) / "policies" / f"{name}.json").read_text(encoding="utf-8"))
    document: dict[str, Any] = _filled(template, bucket, f"{prefix}/" if prefix else "")
    if kms_key is not None and name in ROLES:
        if not kms_key.startswith("arn:"):
            raise ValueError(f"KMS key {kms_key!r}: a policy needs the key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID")
        actions = ["kms:Decrypt"] if name in _ONLY_READ else ["kms:Decrypt", "kms:GenerateDataKey"]
        document["Statement"].append({"Sid": "UseTheKey", "Effect": "Allow", "Action": actions, "Resource": kms_key})
    return document


def _filled(value: Any, bucket: str, prefix: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, bucket, prefix) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, bucket, prefix) for each in value]
    if isinstance(value, str):
        head, found, tail = value.partition("PREFIX/")
        return head.replace("BUCKET", bucket) + (prefix if found else "") + tail
    return value
