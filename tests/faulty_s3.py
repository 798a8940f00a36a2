"""An S3 server in memory that does what `headrace store check` asks for, but for the faults that it is told to have.

With no faults it is right as far as the check can tell, so that each fault shows what it does, and nothing else. It
looks at key ids, not at signatures. Also over TLS, also with objects in Glacier, also with answers that fail at first.
"""

import base64
import hashlib
import itertools
import re
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

KEY_ID = "known"
RACE_S = 0.02


@dataclass
class Request:
    """One request as it came: method, bucket and key, parameters of the query, headers in lower case."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class FaultyS3:
    """What the server holds and does. `faults`: see the methods that ask for them.

    `glacier`: keys that cannot be read. `failures`: so many requests of a method are answered 503 first.
    """

    faults: Collection[str] = ()
    objects: dict[str, bytes] = field(default_factory=dict)
    glacier: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    uploads: dict[str, bytes] = field(default_factory=dict)
    encrypted: dict[str, str] = field(default_factory=dict)
    before: dict[str, bytes | None] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def has(self, fault: str) -> bool:
        return fault in self.faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: FaultyS3

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it so
        """Say nothing."""

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._now = Request(self.command, bucket, key, query, headers)
        self._body = self.rfile.read(int(headers.get("content-length", "0")))
        self.s3.requests.append(self._now)
        if self.s3.failures.get(self.command, 0) > 0:
            self.s3.failures[self.command] -= 1
            return self._error(503, "SlowDown")
        if f"Credential={KEY_ID}/" not in headers.get("authorization", "") and not self.s3.has("anybody"):
            return self._error(403, "InvalidAccessKeyId")
        if bucket == "none":
            return self._error(404, "NoSuchBucket")
        answer: Callable[[], None] = getattr(self, f"_{self.command.lower()}")
        return answer()

    # Writing.

    def _put(self) -> None:
        if "partNumber" in self._now.query:
            self.s3.uploads[self._now.query["uploadId"]] = self._body
            return self._answer(200, headers={"ETag": '"part"'})
        claimed = self._now.headers.get("x-amz-checksum-sha256")
        real = base64.b64encode(hashlib.sha256(self._body).digest()).decode()
        if claimed not in (None, real) and not self.s3.has("no checksums"):
            if self.s3.has("keeps what it refuses"):
                self._store(self._body)
            return self._error(400, "BadDigest")
        if "if-none-match" in self._now.headers:
            if not self._create():
                return None
        else:
            etag = self._now.headers.get("if-match")
            if etag is not None and etag != self._etag() and not self.s3.has("no if-match"):
                return self._error(412, "PreconditionFailed")
            self._store(self._body)
        return self._answer(200, headers={"ETag": self._etag()})

    def _create(self) -> bool:
        s3, key = self.s3, self._now.key
        if s3.has("creates race"):  # looks first, and writes later: those who looked meanwhile win too
            there = key in s3.objects
            time.sleep(RACE_S)
        if s3.has("creates race") and not there:
            self._store(self._body)
            return True
        with s3.lock:
            if key not in s3.objects or s3.has("no if-none-match"):
                self._store(self._body)
                return True
            if s3.has("refused creates overwrite"):
                self._store(self._body)
        if s3.has("another code for what exists"):
            self._error(400, "InvalidRequest")
        else:
            self._error(412, "PreconditionFailed")
        return False

    def _store(self, body: bytes) -> None:
        s3, key = self.s3, self._now.key
        with s3.lock:
            s3.before[key] = s3.objects.get(key)
            s3.objects[key] = body[:1_000_000] if s3.has("large bodies are cut") else body
            sse = self._now.headers.get("x-amz-server-side-encryption")
            if sse is not None and not s3.has("no encryption"):
                s3.encrypted[key] = sse

    def _post(self) -> None:
        s3, query = self.s3, self._now.query
        if "uploads" in query:
            upload = f"u{next(s3.numbers)}"
            s3.uploads[upload] = b""
            return self._xml(
                200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        if "if-none-match" in self._now.headers and self._now.key in s3.objects and not s3.has("multipart overwrites"):
            return self._error(412, "PreconditionFailed")
        self._store(s3.uploads.pop(query["uploadId"]))
        return self._xml(200, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")

    def _delete(self) -> None:
        if "uploadId" in self._now.query:
            self.s3.uploads.pop(self._now.query["uploadId"], None)
        elif self.s3.has("no deletes"):
            return self._error(403, "AccessDenied")
        elif not self.s3.has("deleted objects stay"):
            self.s3.objects.pop(self._now.key, None)
        return self._answer(204)

    # Reading.

    def _head(self) -> None:
        self._get()

    def _get(self) -> None:  # noqa: PLR0911 - one for each way in which a GET can end
        s3, key = self.s3, self._now.key
        if not key:
            return self._list()
        body = s3.objects.get(key)
        if s3.has("old bytes are read") and s3.before.get(key) is not None:
            body = s3.before[key]
        if body is None:
            if s3.has("what is missing is forbidden"):
                return self._error(403, "AccessDenied")
            return self._error(404, "NotFound" if s3.has("another code for what is missing") else "NoSuchKey")
        if key in s3.glacier and self.command == "GET":
            return self._error(403, "InvalidObjectState", "<StorageClass>GLACIER</StorageClass>")
        headers = {"ETag": self._etag()}
        if key in s3.encrypted:
            headers["x-amz-server-side-encryption"] = s3.encrypted[key]
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self._now.headers.get("range", ""))
        if asked is None or (s3.has("no ranges from the end") and not asked[1]):
            return self._answer(200, body, headers)
        if not body:
            return self._error(416, "InvalidRange")
        start, end = (
            (int(asked[1]), int(asked[2] or len(body) - 1))
            if asked[1]
            else (max(0, len(body) - int(asked[2])), len(body) - 1)
        )
        headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        return self._answer(206, body[start : end + 1], headers)

    def _list(self) -> None:
        s3, query = self.s3, self._now.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        with s3.lock:
            keys = sorted(key for key in s3.objects if key.startswith(prefix))
        if s3.has("listings lag behind"):
            keys = keys[:-1]
        if s3.has("listings are not sorted"):
            keys.reverse()
        if delimiter:
            found = sorted({prefix + key[len(prefix) :].partition("/")[0] + "/" for key in keys})
            folders = "".join(f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in found)
            return self._xml(200, f"<ListBucketResult>{folders}</ListBucketResult>")
        start, size = int(query.get("continuation-token", "0")), int(query.get("max-keys", "1000"))
        page, more = keys[start : start + size], start + size < len(keys) and not s3.has("listings end after a page")
        items = "".join(f"<Contents><Key>{key}</Key><Size>{len(s3.objects[key])}</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{start + size}</NextContinuationToken>" if more else ""
        return self._xml(
            200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{items}{token}</ListBucketResult>"
        )

    # Answering.

    def _etag(self) -> str:
        body = self.s3.objects.get(self._now.key)
        return '""' if body is None else f'"{hashlib.md5(body).hexdigest()}"'

    def _error(self, status: int, code: str, more: str = "") -> None:
        self._xml(status, f"<Error><Code>{code}</Code><Message>as told</Message>{more}</Error>")

    def _xml(self, status: int, text: str) -> None:
        self._answer(status, b"<?xml version='1.0'?>" + text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def faulty_s3(*faults: str, tls: ssl.SSLContext | None = None) -> Iterator[FaultyS3]:
    """Yield a running server with these faults, on a free port of 127.0.0.1; over TLS with a context."""
    s3 = FaultyS3(faults)
    methods = {f"do_{method}": _Handler.handle_any for method in ("GET", "HEAD", "PUT", "POST", "DELETE")}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"s3": s3, **methods}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    s3.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
