"""What headrace consists of, and what is known of it: `make sbom` and `make audit`."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from house.tree import ROOT

from image.checkers import run

SCRIPTS = ROOT / "docker" / "check"
LOCKS = ("requirements/all.txt", "docker/requirements.txt", "docker/app.requirements.txt")


def test_sbom_lists_each_pin_and_is_the_same_each_time(tmp_path: Path) -> None:
    """Every pin of the locks, Kafka's jars too, is a component with its SHA-256; two runs give the same bytes."""
    for folder in ("one", "two"):
        done = run("python", SCRIPTS / "sbom.py", tmp_path / folder)
        assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["headrace-all.cdx.json", "headrace-image.cdx.json"]
    assert [(tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names] == [
        True
    ] * 2
    bill = json.loads((tmp_path / "one" / names[0]).read_text())
    assert bill["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    listed = {each["purl"] for each in bill["components"]}
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", (ROOT / LOCKS[0]).read_text(), re.MULTILINE)
    jars = re.findall(r"^([^#\s:]+):([^:]+):(\S+) ", (ROOT / "local" / "kafka.lock").read_text(), re.MULTILINE)
    wanted = {f"pkg:pypi/{name}@{version}" for name, version in pins}
    wanted |= {f"pkg:maven/{group}/{name}@{version}" for group, name, version in jars}
    assert len(jars) > 40
    assert listed == wanted
    assert all(each.get("hashes") or each.get("properties") for each in bill["components"])


@contextmanager
def vulnerabilities(of: str | None) -> Iterator[str]:
    """Answer as OSV does: one vulnerability of one package, and nothing of all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            found = [{"id": "PYSEC-2026-1", "details": "d", "modified": "2026-01-01T00:00:00Z", "affected": []}]
            body = json.dumps({"vulns": found} if asked == of else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(url: str) -> tuple[int, list[str]]:
    done = run("python", SCRIPTS / "audit.py", "--vulnerability-service", "osv", "--osv-url", url)
    return done.returncode, done.stdout.splitlines()


def test_audit_says_that_nothing_is_known() -> None:
    """Each pin of each lock was looked up, and none has a known vulnerability: 0."""
    with vulnerabilities(None) as url:
        code, lines = audit(url)
    assert code == 0, lines
    assert [line.split(":")[0] for line in lines] == list(LOCKS)
    assert all("pins looked up, no known vulnerability" in line for line in lines)


def test_audit_names_what_is_known() -> None:
    """A vulnerability of one package ends it with 1, and is named with the lock that has it."""
    with vulnerabilities("flask") as url:
        code, lines = audit(url)
    assert code == 1, lines
    assert any(
        re.match(r"docker/app.requirements.txt: flask \S+: PYSEC-2026-1, not mended yet", line) for line in lines
    )
    assert any("docker/requirements.txt: " in line and "no known" in line for line in lines)


def test_audit_says_that_it_could_not_tell() -> None:
    """With a list that does not answer it ends with 3, never with 0."""
    with vulnerabilities(None) as url:
        pass
    code, lines = audit(url)
    assert code == 3
    assert all("cannot tell" in line for line in lines), lines
