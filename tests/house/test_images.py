"""docker/ and localstack/: what can be said about them without a container engine."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from headrace.cli.main import root
from headrace.schemas.catalog import topic_of
from house.tree import ROOT

DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose() -> Any:
    """The compose file as a YAML parser reads it."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not among the test tools")
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def pins(lock: Path) -> set[str]:
    """Return a lock's names and versions, `click==8.5.1`."""
    return set(re.findall(r"^[^\s#]+==[^\s;]+", lock.read_text(), re.MULTILINE))


def test_image_installs_versions_that_were_tested() -> None:
    """Each pin of the image's lock is a pin of the lock that the tests run on."""
    assert pins(DOCKER / "requirements.txt")
    assert pins(DOCKER / "requirements.txt") - pins(ROOT / "requirements" / "all.txt") == set()


def test_dockerfile_copies_what_exists_and_what_its_context_holds() -> None:
    """Each source of a COPY line is in the tree, and the ignore file lets it through."""
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    sources = {source for copy in copies for source in copy}
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
    assert sources == allowed


def test_image_runs_as_nobody() -> None:
    """The last stage drops root, and starts the headrace command."""
    last = (DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["headrace"]' in last


def test_archivers_command_line_is_one_that_headrace_takes(compose: Any) -> None:
    """`command` and `environment` of the archiver service pass the real command line's parser."""
    service = compose["services"]["archiver"]
    verb, *words = service["command"]
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    context = command.make_context(verb, list(words), default_map=defaults(command, service["environment"]))
    assert context.params["kafka"] == "kafka:9092"
    assert context.params["archive_url"] == "s3://headrace/archive"
    assert context.params["workers"] == 2


def defaults(command: click.Command, environment: dict[str, str]) -> dict[str, str]:
    """Return what the command takes from these environment variables, by parameter."""
    return {
        parameter.name: environment[parameter.envvar]
        for parameter in command.params
        if parameter.name and isinstance(parameter.envvar, str) and parameter.envvar in environment
    }


def test_services_wait_for_services_that_exist(compose: Any) -> None:
    """Each depends_on names a service, and one that is waited for to be healthy has a health check."""
    services = compose["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            assert name in services
            assert wait["condition"] != "service_healthy" or "healthcheck" in services[name]


def test_nothing_is_published_beyond_this_host(compose: Any) -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_credentials_of_archiver_and_s3_are_the_same(compose: Any) -> None:
    """The archiver knows the key pair that the S3 service accepts."""
    (identity,) = json.loads((DOCKER / "s3.json").read_text())["identities"]
    environment = compose["services"]["archiver"]["environment"]
    assert identity["credentials"] == [
        {"accessKey": environment["AWS_ACCESS_KEY_ID"], "secretKey": environment["AWS_SECRET_ACCESS_KEY"]}
    ]


def test_topics_are_the_shipped_event_types(compose: Any) -> None:
    """The topics that are created are those that the archiver archives by itself."""
    script = compose["services"]["topics"]["command"][0]
    (listed,) = re.findall(r"for topic in (.*?);", script)
    assert set(listed.split()) == {topic_of(path.stem) for path in (ROOT / "schemas").glob("*.avsc")}


def test_localstack_lock_keeps_to_its_bounds() -> None:
    """The lock has each package that the .in file names."""
    wanted = re.findall(r"^[a-zA-Z0-9_-]+", (ROOT / "localstack" / "requirements.in").read_text(), re.MULTILINE)
    locked = {pin.split("==")[0].split("[")[0] for pin in pins(ROOT / "localstack" / "requirements.txt")}
    assert {name.lower().replace("_", "-") for name in wanted} <= locked
