"""What is served over HTTP is served to this machine's people and to Prometheus only."""

import socket
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from scraping import get

from headrace.cli.address import Address
from headrace.cli.serving import REQUEST_TIMEOUT_S, Page, PageServer, parse_address, serving


@pytest.fixture
def url() -> Iterator[str]:
    pages = {"/hello": Page("text/plain", lambda: b"hello")}
    with serving(Address("127.0.0.1", 0), pages, ["archive-exporter"]) as at:
        yield at.url


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9477", "localhost", "LOCALHOST:1", "[::1]:80", "10.0.0.7", "archive-exporter:9"]
)
def test_own_names_are_answered(url: str, host: str) -> None:
    """IP addresses, localhost, and the names that were allowed."""
    answer = get(f"{url}/hello", host=host)
    assert (answer.status, answer.body) == (200, b"hello")


@pytest.mark.parametrize(
    "host", ["[::1]evil", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1"]
)
def test_other_names_are_refused(url: str, host: str) -> None:
    """A page elsewhere whose name points to 127.0.0.1 learns nothing."""
    answer = get(f"{url}/hello", host=host)
    assert answer.status == 403
    assert b"hello" not in answer.body


def test_answers_forbid_what_a_browser_should_not_do(url: str) -> None:
    """No scripts, styles or frames from elsewhere, no guessing of types, nothing kept in caches."""
    headers = get(f"{url}/hello").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert not any("Python" in value for value in headers.values())


def test_only_pages_and_only_reading(url: str) -> None:
    """Other paths are not there, no path leads to files, and nothing but GET and HEAD is taken."""
    assert get(f"{url}/../etc/passwd").status == 404
    assert get(f"{url}/").status == 404
    assert get(f"{url}/hello", method="POST").status == 501
    head = get(f"{url}/hello", method="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_a_taken_address_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the address; the exit code is 2."""
    with serving(Address("127.0.0.1", 0), {}) as first, pytest.raises(SystemExit) as ended, serving(first, {}):
        pass
    assert ended.value.code == 2
    assert f"cannot listen on 127.0.0.1:{first.port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9477", Address("127.0.0.1", 9477)),
        (":9477", Address("127.0.0.1", 9477)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
        ("[::1]:9477", Address("::1", 9477)),
        ("archiver:80", Address("archiver", 80)),
        ("::1:9477", None),
        ("127.0.0.1", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:70000", None),
        ("http://127.0.0.1:80/", None),
    ],
)
def test_addresses(text: str, address: Address | None) -> None:
    """A port alone means 127.0.0.1; what is no address is a usage error."""
    seen: list[Address] = []

    @click.command()
    @click.option("--at", "at_at", callback=parse_address)
    def command(at_at: Address) -> None:
        seen.append(at_at)

    result = CliRunner().invoke(command, ["--at", text])
    assert (result.exit_code, seen) == ((0, [address]) if address else (2, []))


def test_who_takes_too_long_is_let_go() -> None:
    """A client that sends a byte now and then has as long as one that sends nothing, and no longer."""
    now = [0.0]
    server = PageServer(Address("127.0.0.1", 0), {}, [], monotonic=lambda: now[0])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server.waits(ours)
        theirs.sendall(b"G")
        now[0] = REQUEST_TIMEOUT_S - 1
        server.service_actions()
        theirs.sendall(b"E")
        now[0] = REQUEST_TIMEOUT_S + 1
        server.service_actions()
        assert (ours.recv(9), ours.recv(9)) == (b"GE", b"")
        assert not server.waits_no_more(ours)
    server.server_close()


def test_a_page_that_cannot_be_made_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told where to look, the log has the error, and the next request is answered."""
    fails = [True]

    def body() -> bytes:
        if fails.pop() if fails else False:
            raise ValueError("no such thing")
        return b"hello"

    with serving(Address("127.0.0.1", 0), {"/hello": Page("text/plain", body)}) as at:
        first = get(f"{at.url}/hello")
        assert (first.status, b"no such thing" in first.body) == (500, False)
        assert "no such thing" in caplog.text
        assert get(f"{at.url}/hello").body == b"hello"
