"""A way to a real S3 server that takes temporary credentials: one session token at a time, and ExpiredToken for others.

SeaweedFS hands out no session tokens. So what comes with the right one is signed anew, with the server's own keys.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOT_FORWARDED = {"host", "authorization", "connection", "expect", "content-length", "accept-encoding"}
SIGNED_ANEW = {"x-amz-security-token", "x-amz-date", "x-amz-content-sha256"}
EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)


Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class TokenS3:
    """`valid` is the session token that is taken now; `refused` counts the requests that came with another or none."""

    def __init__(self, env: Mapping[str, str], valid: str) -> None:
        self.valid = valid
        self.refused = 0
        self.endpoint = ""
        self._upstream = env["AWS_ENDPOINT_URL_S3"]
        keys = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        self._signer = S3SigV4Auth(keys, "s3", env["AWS_REGION"])

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer as S3 does whose temporary credentials are these; what it takes, the real server answers."""
        if headers.get("x-amz-security-token") != self.valid:
            self.refused += 1
            return 403, {"Content-Type": "application/xml", "Content-Length": str(len(EXPIRED))}, EXPIRED
        kept = {name: value for name, value in headers.items() if name not in NOT_FORWARDED | SIGNED_ANEW}
        request = AWSRequest(method, self._upstream + path, headers=kept, data=body)
        self._signer.add_auth(request)
        with closing(HTTPConnection(urlsplit(self._upstream).netloc, timeout=60)) as upstream:
            upstream.request(method, path, body, dict(request.headers.items()))
            answer = upstream.getresponse()
            told = {name: value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
            read = answer.read()
            length = told.get("Content-Length", "0") if method == "HEAD" else str(len(read))
            return answer.status, told | {"Content-Length": length}, read


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: TokenS3

    def carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, told, answer = self.s3.answer(self.command, self.path, headers, body)
        self.send_response_only(status)
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it so
        """Say nothing."""


@contextmanager
def token_s3(env: Mapping[str, str], valid: str) -> Iterator[TokenS3]:
    """Listen on 127.0.0.1 before the server of these variables for as long as the block lasts."""
    s3 = TokenS3(env, valid)
    methods = {f"do_{method}": _Handler.carry for method in ("GET", "HEAD", "PUT", "POST", "DELETE")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"s3": s3, **methods}))
    s3.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
