"""Make `kafka.lock` anew: run `python -m headrace.local.relock` after changing the versions here, and read the diff.

Resolves Kafka's dependencies with jgo, fetches each jar, checks it against the SHA-1 that its repository publishes
beside it, and writes down its SHA-256.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import requests
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from .jars import KAFKA_VERSION

_SCOPES = ("compile", "runtime")
_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka's POM leaves the binding from slf4j to log4j to its distribution; without it the broker logs nothing. Resolved
# by itself, since jgo would take versions of its POM's choice for Kafka's own dependencies too (kafka-clients 3.8.0).
_LOG4J_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"


def main() -> None:
    """Write the list beside this module; raise RuntimeError when a jar differs from its published checksum."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), local_repos=[], remote_repos={"central": MAVEN_CENTRAL_URL})
        inputs, transitive = context.resolver.resolve([context.create_dependency(_KAFKA)])
        found = [each.artifact for each in [*inputs, *transitive] if each in inputs or each.scope in _SCOPES]
        odd = [str(each) for each in found if each.groupId == "org.apache.kafka" and each.version != KAFKA_VERSION]
        if odd:
            raise RuntimeError(f"resolved to a mixture of Kafka versions: {', '.join(odd)}")
        rows = [row(artifact) for artifact in [*found, context.create_dependency(_LOG4J_BINDING).artifact]]
    head = "# Made by relock.py: group:artifact:version, size in bytes, SHA-256.\n"
    Path(__file__).with_name("kafka.lock").write_text(head + "".join(rows))


def row(artifact: Any) -> str:
    """Return a jar's line, once it is what its repository says it is; raise RuntimeError otherwise."""
    path = Path(artifact.resolve())
    content = path.read_bytes()
    url = f"{MAVEN_CENTRAL_URL}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}.sha1"
    answer = requests.get(url, timeout=20)
    answer.raise_for_status()
    if hashlib.sha1(content).hexdigest() != answer.text.split()[0]:  # noqa: S324 - what repositories publish
        raise RuntimeError(f"{path.name} differs from the checksum at {url}")
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return f"{coordinate} {len(content)} {hashlib.sha256(content).hexdigest()}\n"


if __name__ == "__main__":
    main()
