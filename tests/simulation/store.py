"""A simulated S3 under the production adapter: boto3's client as it answers, with everything that can go wrong.

What is simulated is the client's interface: answers, errors by code, bodies that are cut short, pages of a listing. The
adapter archiver/s3.py turns them into the archive's own errors, and runs as it is. Requests may be lost, applied
without an answer, or applied later, when nobody waits for them any more.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from headrace.archiver.s3 import S3Store
from headrace.archiver.s3_settings import S3Settings

from .scheduler import Scheduler

PAGE_KEYS = 3
LATE_S = 30.0


class Watcher(Protocol):
    """Hears of each change to the bucket, after it was made."""

    def created(self, key: str, body: bytes) -> None: ...

    def overwritten(self, key: str, before: bytes, body: bytes) -> None: ...

    def deleted(self, key: str, body: bytes) -> None: ...


class Bucket:
    """The objects, and the requests that are still on their way."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.objects: dict[str, bytes] = {}
        self.sha256: dict[str, str] = {}
        self.watcher: Watcher | None = None
        self.late: list[tuple[float, str, str, bytes | None, bool]] = []
        self.down = False
        self.faults: dict[str, float] = {}
        self.author: dict[str, str] = {}

    def put(self, key: str, body: bytes, only_new: bool) -> bool:
        """Apply a PUT; return False when it was refused by its condition."""
        before = self.objects.get(key)
        if before is not None and only_new:
            return False
        self.objects[key] = body
        self.sha256[key] = hashlib.sha256(body).hexdigest()
        if self.watcher is not None:
            if before is None:
                self.watcher.created(key, body)
            else:
                self.watcher.overwritten(key, before, body)
        return True

    def delete(self, key: str) -> None:
        """Apply a DELETE."""
        body = self.objects.pop(key, None)
        if body is not None:
            del self.sha256[key]
            if self.watcher is not None:
                self.watcher.deleted(key, body)

    def postpone(self, kind: str, key: str, body: bytes | None, only_new: bool) -> None:
        """Keep a request for later."""
        at = self.scheduler.now_s + self.scheduler.random.random() * LATE_S
        self.late.append((at, kind, key, body, only_new))

    def apply_late(self, everything: bool = False) -> None:
        """Apply the late requests whose time has come."""
        due = [each for each in self.late if everything or each[0] <= self.scheduler.now_s]
        if due:
            self.late = [each for each in self.late if each not in due]
            for _, kind, key, body, only_new in sorted(due, key=lambda each: each[0]):
                self.scheduler.count(f"s3: late {kind} applied")
                if body is None:
                    self.delete(key)
                else:
                    self.put(key, body, only_new)


class Client:
    """As much of boto3's S3 client as the adapter calls. Every call comes back to the hub before and after it works."""

    class meta:  # noqa: N801 - as boto3 names it
        endpoint_url = "http://simulated"

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._scheduler = bucket.scheduler

    def _fault(self, *kinds: str) -> str | None:
        """Choose what goes wrong with a request, mostly nothing."""
        self._scheduler.step()
        if self._bucket.down:
            self._scheduler.count("s3: down")
            raise EndpointConnectionError(endpoint_url=self.meta.endpoint_url)
        faults = self._bucket.faults
        for kind in kinds:
            if kind in faults and self._scheduler.chance(faults[kind]):
                self._scheduler.count(f"s3: {kind}")
                return kind
        return None

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> None:  # noqa: N803
        fault = self._fault("put lost", "put applied, unanswered", "put late", "put 503", "put 500 applied", "put 409")
        if fault == "put late":
            self._bucket.postpone("put", Key, Body, IfNoneMatch == "*")
        if fault in ("put lost", "put late"):
            self._scheduler.sleep(1.0)
            raise ReadTimeoutError(endpoint_url=self.meta.endpoint_url)
        if fault == "put 503":
            raise _error(503, "SlowDown")
        if fault == "put 409":
            raise _error(409, "ConditionalRequestConflict")
        created = self._bucket.put(Key, Body, IfNoneMatch == "*")
        self._scheduler.step()
        if fault == "put applied, unanswered":
            self._scheduler.sleep(1.0)
            raise ReadTimeoutError(endpoint_url=self.meta.endpoint_url)
        if fault == "put 500 applied":
            raise _error(500, "InternalError")
        if not created:
            self._scheduler.count("s3: 412")
            if self._bucket.objects.get(Key) == Body:
                self._scheduler.count("s3: 412 against one's own earlier attempt")
            raise _error(412, "PreconditionFailed")

    def get_object(self, *, Key: str, Range: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        fault = self._fault("get 503", "get timeout", "get cut")
        if fault == "get 503":
            raise _error(503, "SlowDown")
        if fault == "get timeout":
            raise ReadTimeoutError(endpoint_url=self.meta.endpoint_url)
        body = self._bucket.objects.get(Key)
        self._scheduler.step()  # the answer is on its way
        if body is None:
            raise _error(404, "NoSuchKey")
        if Range:
            body = body[-int(Range.removeprefix("bytes=-")) :]
        sent = body[: int(len(body) * self._scheduler.random.random())] if fault == "get cut" else body
        return {"Body": io.BytesIO(sent), "ContentLength": len(body)}

    def head_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        if self._fault("get 503") is not None:
            raise _error(503, "SlowDown")
        body = self._bucket.objects.get(Key)
        if body is None:
            raise _error(404, "404")
        return {"ContentLength": len(body)}

    def delete_object(self, *, Key: str, **_: Any) -> None:  # noqa: N803
        fault = self._fault("delete lost", "delete late", "delete unanswered")
        if fault == "delete late":
            self._bucket.postpone("delete", Key, None, False)
        if fault in ("delete lost", "delete late"):
            raise _error(503, "SlowDown")
        self._bucket.delete(Key)
        self._scheduler.step()
        if fault == "delete unanswered":
            raise ReadTimeoutError(endpoint_url=self.meta.endpoint_url)

    def get_paginator(self, _operation: str) -> "Client":
        return self

    def paginate(self, *, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        after = ""
        while True:
            if self._fault("list 503") is not None:
                raise _error(503, "SlowDown")
            objects = self._bucket.objects
            keys = sorted(key for key in objects if key.startswith(Prefix) and key > after)[:PAGE_KEYS]
            yield {"Contents": [{"Key": key, "Size": len(objects[key])} for key in keys]} if keys else {}
            if len(keys) < PAGE_KEYS:
                return
            after = keys[-1]


class SimStore(S3Store):
    """The production adapter on a simulated client."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket, self.prefix, self._root = "archive", "", ""
        self.settings, self._each = S3Settings(), {"Bucket": "archive"}
        client: Any = Client(bucket)
        self._writer = self._reader = client

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Fetch one after the other: there are no threads here."""
        return [self._get_if_there(key) for key in keys]


def _error(status: int, code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Simulated")
