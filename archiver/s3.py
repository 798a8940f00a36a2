"""The S3 adapter: boto3 under the promises of object_store.py.

PUTs go out with the SDK's retries off. With them on, boto3 was seen to answer 412 against its own successful write, so
that a committed range looked like somebody else's. Reads use a second client that does retry. Every PUT carries its
SHA-256, which the store checks before it keeps the object.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .object_key import Prefix
from .object_store import ObjectInfo, ObjectNotFound, StoreDenied, StoreError, StoreUnreachable
from .s3_errors import EXISTS, NO_ANSWER, code_of, put_error, read_error
from .s3_settings import S3Settings
from .s3_versions import NOT_SUPPORTED, data_before_markers, delete_version, list_versions
from .versions import ObjectVersion

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
READ_ATTEMPTS = 4
FETCH_THREADS = 16
NO_SUCH_RANGE = {"InvalidRange", "416"}
PUT_BYTES_MAX = 5 << 30
"""What S3 takes in one PUT. Objects are bounded far below it, and so are whole, checked and conditional in one step."""
FETCH_MANY_MIN = 3
"""Fewer objects are fetched one after the other: starting threads would take longer."""


def parse_url(url: str) -> tuple[str, str]:
    """Split `s3://bucket/prefix` into bucket and prefix (without slashes at its ends). Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError(f"archive URL {url!r} is not of the form s3://bucket/prefix")
    return parts.netloc, parts.path.strip("/")


@dataclass(frozen=True, slots=True)
class RawS3:
    """A store's clients, for who asks S3 itself: what goes along with every call, and with every object written.

    `stranger` makes a client whose key pair no store can know.
    """

    writer: "S3Client"
    reader: "S3Client"
    root: str
    each: Mapping[str, Any]
    each_put: Mapping[str, Any]
    stranger: Callable[[], "S3Client"]


class S3Store:
    """Objects under `s3://bucket/prefix`. Thread-safe, as boto3's clients are.

    `read_attempts`: how often a read is tried that gets no answer in `read_timeout_s`, or a passing error.
    `settings`: encryption, and the bucket's owner.
    `client_options` go to boto3's client as they are: endpoint_url, aws_access_key_id, region_name, ... ; what is not
    given boto3 finds where it always does (environment, profile, instance role).
    """

    def __init__(
        self,
        url: str,
        *,
        settings: S3Settings | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        read_attempts: int = READ_ATTEMPTS,
        **client_options: Any,
    ) -> None:
        self.bucket, self.prefix = parse_url(url)
        self._root: str = Prefix(f"{self.prefix}/" if self.prefix else "")
        self.settings = settings or S3Settings()
        self._each = {"Bucket": self.bucket, **self.settings.for_each_request()}
        self._how: dict[str, Any] = {
            "read_timeout_s": read_timeout_s,
            "read_attempts": read_attempts,
            "options": client_options,
        }
        self.renew()

    def renew(self) -> None:
        """Make the clients anew, with the credentials that are found now: a profile whose keys were changed among them.

        Roles' credentials, which expire, are renewed by boto3 itself.
        """
        session = boto3.session.Session()
        options = self._how["options"]

        def client(attempts: int, **own: Any) -> "S3Client":
            config = Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=self._how["read_timeout_s"],
                s3={"addressing_style": "path"} if options.get("endpoint_url") else {},
                request_checksum_calculation="when_required",
                max_pool_connections=64,  # four topics' logs, sixteen objects each
            )
            return session.client("s3", config=config, **{**options, **own})

        def stranger() -> "S3Client":
            return client(1, aws_access_key_id="headrace-nobody", aws_secret_access_key="nothing")  # noqa: S106 - wrong on purpose

        self._stranger = stranger
        self._writer, self._reader = client(attempts=1), client(attempts=self._how["read_attempts"])

    @property
    def url(self) -> str:
        """Where this is: `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def endpoint(self) -> str:
        """The URL that requests go to."""
        return str(self._reader.meta.endpoint_url)

    @property
    def raw(self) -> RawS3:
        """What the store speaks to S3 with; `headrace store check` looks behind the interface with it."""
        return RawS3(self._writer, self._reader, self._root, self._each, self.settings.for_each_put(), self._stranger)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Create once with If-None-Match; see ObjectStore."""
        try:
            self._put(key, body, IfNoneMatch="*")
        except ClientError as error:
            if code_of(error) in EXISTS:
                return False
            raise self._put_error(key, error) from error
        except NO_ANSWER as error:
            raise self._put_error(key, error) from error
        return True

    def put(self, key: str, body: bytes) -> None:
        """Write or overwrite; see ObjectStore."""
        try:
            self._put(key, body)
        except (ClientError, *NO_ANSWER) as error:
            raise self._put_error(key, error) from error

    def _put(self, key: str, body: bytes, **condition: Any) -> None:
        if len(body) > PUT_BYTES_MAX:
            size = f"{len(body):,} bytes, and S3 takes {PUT_BYTES_MAX:,} in one PUT"
            raise StoreError(f"writing {self.url}/{key}: it has {size}; lower --flush-mib or --flush-rows")
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
        self._writer.put_object(
            **self._each,
            **self.settings.for_each_put(),
            Key=self._root + key,
            Body=body,
            ChecksumSHA256=checksum,
            **condition,
        )

    def get(self, key: str) -> bytes:
        """Return the whole object; see ObjectStore."""
        return self._get(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Fetch side by side, in at most FETCH_THREADS threads that end with the call; see fetching.FetchesMany."""
        if len(keys) < FETCH_MANY_MIN:
            return [self._get_if_there(key) for key in keys]
        with ThreadPoolExecutor(min(FETCH_THREADS, len(keys)), thread_name_prefix="headrace-fetch") as pool:
            return list(pool.map(self._get_if_there, keys))

    def _get_if_there(self, key: str) -> bytes | None:
        try:
            return self._get(key)
        except ObjectNotFound:
            return None

    def get_tail(self, key: str, length: int) -> bytes:
        """Return at most the last `length` bytes; see ObjectStore."""
        try:
            return self._get(key, Range=f"bytes=-{length}")
        except StoreError as error:
            if isinstance(error.__cause__, ClientError) and code_of(error.__cause__) in NO_SUCH_RANGE:
                return b""  # the object is empty: nothing of it can be asked for
            raise

    def _get(self, key: str, **options: Any) -> bytes:
        try:
            answer = self._reader.get_object(**self._each, Key=self._root + key, **options)
            body = answer["Body"].read()
        except (ClientError, *NO_ANSWER) as error:
            raise self._read_error("reading", key, error) from error
        if len(body) != answer["ContentLength"]:
            message = f"reading {self.url}/{key}: got {len(body)} of {answer['ContentLength']} bytes; try again"
            raise StoreUnreachable(message)
        return body

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        try:
            return self._reader.head_object(**self._each, Key=self._root + key)["ContentLength"]
        except (ClientError, *NO_ANSWER) as error:
            raise self._read_error("looking at", key, error) from error

    def folders(self, prefix: str) -> list[str]:
        """Return what is next to a prefix, by a listing with a delimiter; see fetching.ListsFolders."""
        pages = self._reader.get_paginator("list_objects_v2").paginate(
            **self._each, Prefix=self._root + prefix, Delimiter="/"
        )
        try:
            found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        except (ClientError, BotoCoreError) as error:
            raise self._read_error("listing", prefix, error) from error
        return sorted(each.removeprefix(self._root + prefix).rstrip("/") for each in found)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix in key order."""
        pages = self._reader.get_paginator("list_objects_v2").paginate(**self._each, Prefix=self._root + prefix)
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    yield ObjectInfo(item["Key"][len(self._root) :], item["Size"])
        except (ClientError, *NO_ANSWER) as error:
            raise self._read_error("listing", prefix, error) from error

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for key in keys:
            try:
                self._reader.delete_object(**self._each, Key=self._root + key)
            except (ClientError, *NO_ANSWER) as error:
                raise self._read_error("deleting", key, error) from error

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Yield all versions and delete markers under a prefix; see versions.KeepsVersions."""
        try:
            yield from list_versions(self._reader, self._each, self._root, prefix)
        except (ClientError, *NO_ANSWER) as error:
            if isinstance(error, ClientError) and code_of(error) in NOT_SUPPORTED:
                raise StoreDenied(f"{self.url}: the store cannot list old versions ({code_of(error)})") from error
            raise self._read_error("listing versions of", prefix, error) from error

    def delete_versions(self, versions: Iterable[ObjectVersion]) -> None:
        """Remove versions for good; see versions.KeepsVersions."""
        for each in data_before_markers(versions):
            try:
                delete_version(self._reader, self._each, self._root, each)
            except (ClientError, *NO_ANSWER) as error:
                raise self._read_error(f"deleting version {each.version_id} of", each.key, error) from error

    def _put_error(self, key: str, error: Exception) -> StoreError:
        return put_error(f"writing {self.url}/{key} at {self.endpoint}", self.bucket, error)

    def _read_error(self, doing: str, key: str, error: Exception) -> StoreError:
        at = f"{self.url}/{key}"
        return read_error(f"{doing} {at} at {self.endpoint}", self.bucket, at, error)
