"""Versions of S3 objects: lists them and removes them by id, for S3Store (see versions.KeepsVersions).

A bucket without versioning lists each object once, with the id `null`. A listing takes the right s3:ListBucketVersions,
the removal s3:DeleteObjectVersion. An object lock may refuse it: that is told, never worked around.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .versions import ObjectVersion

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NOT_SUPPORTED = {"NotImplemented", "MethodNotAllowed", "InvalidRequest"}
"""How look-alikes say that they have no versions to list."""


def list_versions(client: "S3Client", each: Mapping[str, Any], root: str, prefix: str) -> Iterator[ObjectVersion]:
    """Yield all versions and delete markers under `root` + `prefix`, keys without `root`. Raises what boto3 raises.

    `each`: what goes along with every request, the bucket among it.
    """
    pages = client.get_paginator("list_object_versions").paginate(**each, Prefix=root + prefix)
    for page in pages:
        for item in page.get("Versions", []):
            yield ObjectVersion(
                item["Key"][len(root) :], item["VersionId"], item["Size"], item["IsLatest"], marker=False
            )
        for marker in page.get("DeleteMarkers", []):
            yield ObjectVersion(marker["Key"][len(root) :], marker["VersionId"], 0, marker["IsLatest"], marker=True)


def delete_version(client: "S3Client", each: Mapping[str, Any], root: str, version: ObjectVersion) -> None:
    """Remove one version for good. Raises what boto3 raises."""
    client.delete_object(**each, Key=root + version.key, VersionId=version.version_id)


def data_before_markers(versions: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Order versions so that a kill in between never makes an old version visible again: markers go last."""
    return sorted(versions, key=lambda each: (each.marker, each.current))
