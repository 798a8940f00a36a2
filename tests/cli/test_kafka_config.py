"""librdkafka's settings on the command line: read from the environment or a file, refused without being repeated."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from headrace.cli.kafka_settings import GivenSettings, kafka_config_option, reading_settings, without_values

SECRET = "canary-secret-93d0"


def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[Result, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    @click.command()
    @kafka_config_option
    def command(kafka_config: GivenSettings) -> None:
        seen.append(reading_settings("h:1", kafka_config))

    return CliRunner().invoke(command, list(arguments), env={"HEADRACE_KAFKA_CONFIG": "", **(env or {})}), seen


def test_settings_come_from_the_environment_an_option_or_a_file(tmp_path: Path) -> None:
    """The address is --kafka's, whatever the settings say."""
    text = '{"client.id": "x", "bootstrap.servers": "elsewhere:1"}'
    (tmp_path / "k.json").write_text(text)
    for arguments, env in (
        (("--kafka-config", text), None),
        (("--kafka-config", f"@{tmp_path}/k.json"), None),
        ((), {"HEADRACE_KAFKA_CONFIG": text}),
        ((), {"HEADRACE_KAFKA_CONFIG": f"@{tmp_path}/k.json"}),
    ):
        result, seen = run(*arguments, env=env)
        assert (result.exit_code, seen) == (0, [{"client.id": "x", "bootstrap.servers": "h:1"}])
    assert run()[1] == [{"bootstrap.servers": "h:1"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{{"sasl.password": "{SECRET}"', "no JSON: line 1, column"),
        (f'["{SECRET}"]', "not a list"),
        (f'{{"sasl.password": ["{SECRET}"]}}', "'sasl.password' must be a text"),
        (f'{{"sasl.passwd": "{SECRET}"}}', "sasl.passwd"),
        (f'{{"security.protocol": "{SECRET}"}}', "security.protocol"),
        (f'{{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "{SECRET}"}}', "mechanism"),
        (f'{{"security.protocol": "SSL", "ssl.key.pem": "{SECRET}"}}', "ssl.key.pem"),
        ("@/nowhere/k.json", "/nowhere/k.json: No such file"),
    ],
)
def test_what_cannot_work_is_refused_without_being_repeated(text: str, said: str) -> None:
    """A usage error that says which setting; a secret is not in it, also not one that stands in the wrong place."""
    result, seen = run("--kafka-config", text)
    assert (result.exit_code, seen) == (2, [])
    assert said in result.output
    assert SECRET not in result.output


def test_short_words_are_left_to_be_read() -> None:
    """PLAIN is no secret; a password is one however short it is."""
    config = {"sasl.mechanism": "PLAIN", "sasl.password": "pw", "ssl.key.location": "/etc/key.pem"}
    text = without_values("PLAIN: pw refused for /etc/key.pem", config)
    assert text == "PLAIN: (the value of sasl.password) refused for (the value of ssl.key.location)"
