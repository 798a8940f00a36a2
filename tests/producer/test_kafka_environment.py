"""librdkafka's settings from the environment; secrets come from elsewhere, and are not shown."""

import json
from pathlib import Path

import pytest

from headrace.producer.environment import settings_from
from headrace.producer.kafka_environment import (
    REDACTED,
    kafka_settings_from,
    named_secret,
    redacted,
    sourced_settings,
)

SECRET = "s3cr3t-of-mine"


def test_variables_are_settings() -> None:
    """Lower case, dots for underscores; log_level is the one that has its own."""
    env = {
        "HEADRACE_KAFKA": "kafka:9092",
        "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "HEADRACE_KAFKA_SASL_PASSWORD": SECRET,
        "HEADRACE_KAFKA_LOG_LEVEL": "3",
        "HEADRACE_KAFKA_CLIENT_RACK": "",
    }
    assert kafka_settings_from(env) == {"security.protocol": "SASL_SSL", "sasl.password": SECRET, "log_level": "3"}
    assert settings_from({**env, "HEADRACE_SERVICE": "web"})["kafka_config"]["sasl.password"] == SECRET


def test_closer_names_win(tmp_path: Path) -> None:
    """A single variable over the JSON object over the file, each with its source; lines may be comments."""
    file = tmp_path / "kafka.properties"
    file.write_text("# ours\nclient.rack = a\n\nlinger.ms=1\nclient.id=file\nsasl.password=x=y\n")
    env = {
        "HEADRACE_KAFKA_CONFIG_FILE": str(file),
        "HEADRACE_KAFKA_CONFIG": json.dumps({"linger.ms": 2, "client.id": "object"}),
        "HEADRACE_KAFKA_CLIENT_ID": "variable",
    }
    found = sourced_settings(env)
    assert {name: setting.value for name, setting in found.items()} == {
        "client.rack": "a", "linger.ms": 2, "client.id": "variable", "sasl.password": "x=y",
    }  # fmt: skip
    assert found["client.rack"].source == str(file)
    assert found["linger.ms"].source == "HEADRACE_KAFKA_CONFIG"
    assert found["client.id"].source == "HEADRACE_KAFKA_CLIENT_ID"


def test_secrets_from_files_and_commands(tmp_path: Path) -> None:
    """A file's content, or what a command prints, without the end of the line; run without a shell."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert kafka_settings_from({"HEADRACE_KAFKA_SASL_PASSWORD_FILE": str(file)}) == {"sasl.password": SECRET}
    assert kafka_settings_from({"HEADRACE_KAFKA_SSL_KEY_PASSWORD_COMMAND": f"cat '{file}'"}) == {
        "ssl.key.password": SECRET
    }
    assert kafka_settings_from({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": "echo a; echo b"}) == {
        "sasl.password": "a; echo b"
    }
    # A setting of librdkafka that ends like that is itself.
    key = {"HEADRACE_KAFKA_SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE": "/key"}
    assert kafka_settings_from(key) == {"sasl.oauthbearer.assertion.private.key.file": "/key"}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HEADRACE_KAFKA_SASL_PASSWORD_FILE": "/no/such/file"}, "HEADRACE_KAFKA_SASL_PASSWORD_FILE: cannot read"),
        ({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": "/no/such/program"}, "cannot be run"),
        ({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": "false"}, "ended with 1"),
        ({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": "true"}, "gave no secret"),
        ({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": "'"}, "cannot be run"),
        ({"HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": " "}, "cannot be run"),
        ({"HEADRACE_KAFKA_BOOTSTRAP_SERVERS": "x:1"}, "given by HEADRACE_KAFKA"),
        ({"HEADRACE_KAFKA_CONFIG": f'{{"sasl.password": "{SECRET}"'}, "must be a JSON object"),
        ({"HEADRACE_KAFKA_CONFIG": f'{{"sasl.password": ["{SECRET}"]}}'}, "'sasl.password' must be"),
        (
            {"HEADRACE_KAFKA_SASL_PASSWORD": SECRET, "HEADRACE_KAFKA_SASL_PASSWORD_COMMAND": f"echo {SECRET}"},
            "both give sasl.password",
        ),
    ],
)
def test_what_cannot_be_read_is_named_and_not_shown(env: dict[str, str], words: str) -> None:
    """The message has the variable's name and never its value."""
    with pytest.raises(ValueError, match="HEADRACE_KAFKA") as caught:
        sourced_settings(env)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_line_that_is_no_setting(tmp_path: Path) -> None:
    """The file's line is named by its number; it may hold a secret."""
    file = tmp_path / "kafka.properties"
    file.write_text(f"client.id=x\nsasl.password {SECRET}\n")
    with pytest.raises(ValueError, match="line 2 is no name=value") as caught:
        sourced_settings({"HEADRACE_KAFKA_CONFIG_FILE": str(file)})
    assert SECRET not in str(caught.value)


def test_shown_settings_have_no_secrets() -> None:
    """Secrets are there, and unreadable."""
    assert redacted({"sasl.password": SECRET, "client.id": "x"}) == {"sasl.password": REDACTED, "client.id": "x"}


def test_a_secret_of_another_kind(tmp_path: Path) -> None:
    """By variable, file or command; not by two of them, and never an empty one."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    for env in ({"X": SECRET}, {"X_FILE": str(file)}, {"X_COMMAND": f"cat {file}"}):
        assert named_secret(env, "X") == SECRET
    assert named_secret({"X": "", "Y": SECRET}, "X") is None
    file.write_text("\n")
    for env, wrong in (
        ({"X": SECRET, "X_FILE": "f"}, "X and X_FILE both give a secret"),
        ({"X_FILE": str(file)}, "X_FILE: there is nothing in it"),
        ({"X_FILE": str(tmp_path / "none")}, "X_FILE: cannot read"),
        ({"X_COMMAND": "false"}, "X_COMMAND: the command ended with 1"),
    ):
        with pytest.raises(ValueError, match=wrong) as error:
            named_secret(env, "X")
        assert SECRET not in str(error.value)
