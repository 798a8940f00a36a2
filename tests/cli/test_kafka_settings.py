"""Settings of Kafka are looked at before anything is begun; `headrace kafka acls` prints what a role needs."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.archiver.kafka_acls import ROLES
from headrace.cli.main import root

SECRET = "s3cr3t-of-mine"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HEADRACE_KAFKA_SASL_PASWORD": SECRET}, "no such setting; did you mean sasl.password?"),
        ({"HEADRACE_KAFKA_SECURITY_PROTOCOL": "TLS"}, "security.protocol: librdkafka refuses the value"),
        (
            {"HEADRACE_KAFKA_SSL_CA_LOCATION": "/no/ca.pem", "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SSL"},
            "ssl.ca.location",
        ),
    ],
)
@pytest.mark.parametrize("verb", [["lag"], ["produce", "pin"], ["schema", "publish"]])
def test_settings_that_cannot_work_are_usage_errors(verb: list[str], env: dict[str, str], words: str) -> None:
    """Exit code 2 and the variable's setting, with what was meant; no server is asked, no secret shown."""
    servers = {"HEADRACE_KAFKA": "127.0.0.1:1", "HEADRACE_ARCHIVE": "s3://b/p"}
    result = CliRunner().invoke(root, verb, env={**servers, **env})
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert SECRET not in result.output


def test_secrets_on_the_command_line_are_refused(tmp_path: Path) -> None:
    """What all users of a machine can see is no place for a password; the message says where it goes."""
    given = f'{{"sasl.password": "{SECRET}"}}'
    result = CliRunner().invoke(root, ["ship", str(tmp_path), "--kafka", "127.0.0.1:1", "--kafka-config", given])
    assert result.exit_code == 2
    assert "HEADRACE_KAFKA_SASL_PASSWORD" in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize("role", ROLES)
def test_printed_rights_are_narrow(role: str) -> None:
    """Each command allows one operation of one user; none allows All, Alter, Create or Delete, or all topics."""
    arguments = ["kafka", "acls", "--role", role, "--topic", "pin", "--topic", "a b"]
    lines = CliRunner().invoke(root, arguments).stdout.splitlines()
    assert lines
    for line in lines:
        assert re.match(rf"kafka-acls.sh --bootstrap-server KAFKA:9092 --add --allow-principal User:{role} ", line)
        assert re.search(r"--operation (Read|Write|Describe|DescribeConfigs) ", line)
        assert "--topic '*'" not in line
    assert any("--topic 'a b'" in line for line in lines)


def test_a_principal_has_a_kind() -> None:
    """A bare name would be refused by Kafka with a stack trace."""
    result = CliRunner().invoke(root, ["kafka", "acls", "--role", "lag", "--topic", "pin", "--user", "bob"])
    assert result.exit_code == 2
    assert "User:bob" in result.output
