"""Settings by flag, variable, file and default: which of them wins, what is refused, and what is told of it."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from headrace.cli import configuration
from headrace.cli.archive import _typed_alone
from headrace.cli.configuration import setting_option
from headrace.cli.kafka_settings import GivenSettings, kafka_config_option, reading_settings
from headrace.cli.main import root
from headrace.cli.options import archive_option
from headrace.producer import EventLog
from headrace.producer.environment import settings_from, with_file

SECRET = "canary-secret-5b1e"
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, no file of the system's, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configuration, "SYSTEM", tmp_path / "etc" / "headrace.toml")
    for name in list(os.environ):
        if name.startswith(("HEADRACE_", "AWS_", "KAFKA_HOME")):
            monkeypatch.delenv(name)
    before = dict(os.environ)
    yield tmp_path
    assert {name for name in os.environ if name.startswith("AWS_")} == {n for n in before if n.startswith("AWS_")}


def headrace(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(root, list(arguments), env=dict(env or {}), prog_name="headrace")


def values(result: Result) -> dict[str, tuple[Any, str, str]]:
    assert result.exit_code == 0, result.output
    return {
        each["setting"]: (each["value"], each["kind"], each["source"]) for each in json.loads(result.stdout)["settings"]
    }


def shown(*arguments: str, env: Mapping[str, str] | None = None) -> dict[str, tuple[Any, str, str]]:
    return values(headrace("config", "show", "--json", *arguments, env=env))


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(folder: Path) -> None:
    """One setting, named in all four places, one after the other taken away; each time its source is told."""
    (folder / "headrace.toml").write_text("# ours\n[archive]\nworkers = 2\n")
    env = {"HEADRACE_ARCHIVE_WORKERS": "3"}
    assert shown("archive", "--workers", "4", env=env)["archive.workers"] == (4, "flag", "--workers")
    assert shown("archive", env=env)["archive.workers"] == (3, "environment", "HEADRACE_ARCHIVE_WORKERS")
    assert shown(env=env)["archive.workers"] == (3, "environment", "HEADRACE_ARCHIVE_WORKERS")
    assert shown("archive")["archive.workers"] == (2, "file", "headrace.toml:3")
    assert shown()["archive.workers"] == (2, "file", "headrace.toml:3")
    (folder / "headrace.toml").unlink()
    assert shown("archive")["archive.workers"] == (1, "default", "default")


def test_what_is_shown_is_what_a_verb_gets(folder: Path) -> None:
    """Each kind of setting reaches the verb from the file as from the command line: same value, same type."""
    (folder / "headrace.toml").write_text(
        '[archive]\ntopics = ["pin", "follow"]\nseal = false\nflush_interval = 5\nmemory_mib = 128\ngroup = "g"\n'
        'instance = "one"\n[log]\nformat = "json"\n'
    )
    keys = [f"archive.{name}" for name in ("topics", "seal", "flush_interval", "memory_mib", "group", "instance")]

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def command(**given: Any) -> None:
            seen.append(given)

        with_options: Callable[..., Any] = command
        for key in [*keys, "log.format"]:
            with_options = setting_option(key)(with_options)
        assert CliRunner().invoke(click.command()(with_options), list(arguments), env=dict(env or {})).exit_code == 0
        return seen[0]

    typed = [
        *("--topic", "pin", "--topic", "follow", "--no-seal", "--flush-interval", "5", "--memory", "128"),
        *("--group", "g", "--instance", "one", "--log-format", "json"),
    ]
    env = {
        "HEADRACE_ARCHIVE_TOPICS": "pin, follow", "HEADRACE_ARCHIVE_SEAL": "false", "HEADRACE_LOG_FORMAT": "json",
        "HEADRACE_ARCHIVE_FLUSH_INTERVAL": "5", "HEADRACE_ARCHIVE_MEMORY_MIB": "128", "HEADRACE_ARCHIVE_GROUP": "g",
        "HEADRACE_ARCHIVE_INSTANCE": "one",
    }  # fmt: skip
    from_file = run()
    assert from_file == run(*typed) == run(env=env)
    assert from_file["topics"] == ("pin", "follow")
    assert from_file["seal"] is False


def test_which_file_is_read(folder: Path) -> None:
    """--config, before or behind the verb, over HEADRACE_CONFIG over ./headrace.toml over the system's; only one."""
    places = {"flag": "a.toml", "variable": "b.toml", "here": "headrace.toml", "system": "etc/headrace.toml"}
    (folder / "etc").mkdir()
    for name, path in places.items():
        (folder / path).write_text(f'[archive]\ngroup = "{name}"\n')
    env = {"HEADRACE_CONFIG": "b.toml"}

    def group(*before: str, after: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> Any:
        return values(headrace(*before, "config", "show", "--json", *after, env=env))["archive.group"][0]

    assert group("--config", "a.toml", env=env) == "flag"
    assert group(after=("--config", "a.toml"), env=env) == "flag"
    assert group(env=env) == "variable"
    assert group() == "here"
    (folder / "headrace.toml").unlink()
    assert group() == "system"
    assert group("--config", "/dev/null") == "headrace"


def test_a_file_that_is_named_must_be_there() -> None:
    """One that was meant and is missing is no reason to go on without it."""
    for result in (
        headrace("--config", "no.toml", "lag", "--kafka", "k:1", "--archive", "s3://b/p"),
        headrace("lag", "--kafka", "k:1", "--archive", "s3://b/p", env={"HEADRACE_CONFIG": "no.toml"}),
    ):
        assert result.exit_code == 2
        assert "no.toml: No such file" in result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[archve]\nworkers = 1\n", "headrace.toml:1: there is no section [archve]; did you mean [archive]?"),
        ("[archive]\n\nworkrs = 1\n", "headrace.toml:3: [archive] has no setting 'workrs'; did you mean workers?"),
        ("[archive]\nlisten = '1'\n", "there is one in [dashboard]"),
        ("[exporter]\nfoo = '1'\n", "headrace.toml:2: [exporter] has no setting 'foo'; it has listen, every"),
        ("workers = 1\n", "headrace.toml:1: there is no setting 'workers' outside of a section"),
        (
            "[archive]\nworkers = '2'\n",
            "headrace.toml:2: [archive] workers is '2', and must be a whole number, 1 to 64",
        ),
        ("[archive]\nworkers = 65\n", "workers is 65, and must be a whole number, 1 to 64"),
        ("[archive]\nworkers = true\n", "workers is True, and must be a whole number"),
        ("[archive]\nflush_interval = nan\n", "must be a number, 0 to 86,400"),
        ("[archive]\ntopics = 'pin'\n", 'must be a list of names, such as ["pin", "follow"]'),
        ("[archive]\ntopics = ['pin,follow']\n", "'pin,follow' is no name"),
        ("[archive]\nseal = 'no'\n", "must be true or false"),
        ("[archive]\ngroup = ''\n", "must be a text that is not empty"),
        ("[log]\nformat = 'xml'\n", "must be human or json"),
        ("[dashboard]\nlisten = 'here'\n", "must be HOST:PORT"),
        ("[spool]\nclasses = {pin = 'lowest'}\n", "a table of low, normal, high by name"),
        ("archive = 1\n", "archive is a section: write [archive]"),
        ("[archive\n", "headrace.toml is no TOML: "),
        ("[kafka]\nsasl.password = '%s'\n", "headrace.toml:2: [kafka] sasl.password is a secret"),
        ("[kafka.sasl]\npassword = '%s'\n", "write sasl.password_file"),
        ("[kafka]\n'ssl.key.pem' = '%s'\n", "HEADRACE_KAFKA_SSL_KEY_PEM"),
        ("[kafka]\nbootstrap.servers = 'k:1'\n", "write servers instead"),
        ("[kafka]\nclient.id = ['%s']\n", "client.id must be a text, a number, true or false"),
        ("[kafka]\nsasl.password_file = 'a'\nsasl.password_command = 'b'\n", "sasl.password is given twice"),
        ("[kafka]\nclient.idd = 'x'\n", "headrace.toml:2: client.idd: librdkafka has no such setting; did you mean"),
        ("[kafka]\nsecurity.protocol = 'TLS'\n", "headrace.toml:2: security.protocol: librdkafka refuses the value"),
        ("[kafka]\nsasl.password_file = '/no/file'\n", "sasl.password_file: cannot read /no/file"),
        ("[kafka]\nsasl.password_command = 'false'\n", "sasl.password_command: the command ended with 1"),
        ("[store]\nsecret_access_key = '%s'\n", "[store] secret_access_key is a secret"),
        ("[store]\nurl = 'bucket/prefix'\n", "must be s3://BUCKET/PREFIX"),
        ("[producer]\npii_keys = '%s'\n", "write pii_key_file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_what_to_do(folder: Path, text: str, said: str) -> None:
    """`config check` ends with 1; a verb with 2, before it asks anybody; neither shows what may be a secret."""
    (folder / "headrace.toml").write_text(text.replace("%s", SECRET))
    checked = headrace("config", "check")
    assert checked.exit_code == 1, checked.output
    assert said in checked.output
    assert SECRET not in checked.output
    if "[store]\nurl" not in text:
        verb = headrace("lag", "--kafka", "127.0.0.1:1", "--archive", "s3://b/p")
        assert verb.exit_code == 2, verb.output
        assert SECRET not in verb.output


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    """Three mistakes are three lines, so that nobody mends a file in three rounds."""
    (folder / "headrace.toml").write_text("[archive]\nworkers = 0\ngruop = 'x'\n[lagg]\n")
    result = headrace("config", "check", "--json")
    assert result.exit_code == 1
    assert [each.split(" ")[0] for each in json.loads(result.stdout)["wrong"]] == [
        "headrace.toml:2:", "headrace.toml:3:", "headrace.toml:4:",
    ]  # fmt: skip


def test_a_file_that_is_none(folder: Path) -> None:
    """A folder, bytes that are no text, a file of another program's size: each is said in words."""
    (folder / "folder.toml").mkdir()
    (folder / "bytes.toml").write_bytes(b"\xff\xfe")
    (folder / "large.toml").write_text("#" * (1 << 20) + "\n")
    for name, said in (("bytes", "no text in UTF-8"), ("large", "has over 1,048,576 bytes")):
        result = headrace("--config", f"{name}.toml", "config", "show")
        assert result.exit_code == 2
        assert said in result.output
    result = headrace("config", "show", env={"HEADRACE_CONFIG": "folder.toml"})
    assert result.exit_code == 2
    assert "Is a directory" in result.output


def test_a_strangers_file_in_the_working_directory_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could name a program to run: not read when all may write to it, or when it is another user's; named, it is."""
    file, ran = folder / "headrace.toml", folder / "ran"
    file.write_text(f'[kafka]\nservers = "127.0.0.1:1"\nsasl.password_command = "touch {ran}"\n')
    file.chmod(0o666)
    refused = headrace("config", "check")
    assert refused.exit_code == 1
    assert "belongs to another user, or all may write to it" in refused.output
    file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    if file.stat().st_uid != 0:
        assert headrace("config", "check").exit_code == 1
    assert not ran.exists()
    assert "gave no secret" in headrace("--config", str(file), "config", "check").output
    assert ran.exists()


def test_secrets_are_shown_as_such_and_not_read(folder: Path) -> None:
    """`config show` runs no program and opens no file for a secret; addresses lose their passwords."""
    ran = folder / "ran"
    (folder / "headrace.toml").write_text(
        f"[kafka]\nsasl.password_command = 'touch {ran}'\nsasl.username = 'bob'\n"
        f"[store]\nendpoint_url = 'http://user:{SECRET}@proxy:1'\n"
    )
    env = {"AWS_SECRET_ACCESS_KEY": SECRET, "HEADRACE_PII_KEYS": SECRET, "HEADRACE_KAFKA_SSL_KEY_PASSWORD": SECRET}
    for form in ((), ("--json",)):
        result = headrace("config", "show", *form, env=env)
        assert result.exit_code == 0, result.output
        assert SECRET not in result.output
    found = shown(env=env)
    assert found["kafka.sasl.password"] == ("(secret)", "file", "headrace.toml:2")
    assert found["kafka.sasl.username"] == ("bob", "file", "headrace.toml:3")
    assert found["kafka.ssl.key.password"] == ("(secret)", "environment", "HEADRACE_KAFKA_SSL_KEY_PASSWORD")
    assert found["store.secret_access_key"] == ("(secret)", "environment", "AWS_SECRET_ACCESS_KEY")
    assert not ran.exists()


def test_settings_of_librdkafka_by_file_variables_object_and_flag(folder: Path) -> None:
    """Setting by setting: the flag's object over single variables over the variable's object over the file."""
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    (folder / "headrace.toml").write_text(
        f"[kafka]\nclient.id = 'file'\nclient.rack = 'file'\nlinger.ms = 5\nsocket.keepalive.enable = true\n"
        f"sasl.password_file = '{secret}'\n"
    )
    env = {
        "HEADRACE_KAFKA_CONFIG": '{"client.id": "object", "client.rack": "object"}',
        "HEADRACE_KAFKA_CLIENT_ID": "one",
    }
    seen: list[dict[str, Any]] = []

    @click.command()
    @kafka_config_option
    def command(kafka_config: GivenSettings) -> None:
        seen.append(reading_settings("h:1", kafka_config))

    for arguments in ([], ["--kafka-config", '{"client.id": "flag"}']):
        result = CliRunner().invoke(command, arguments, env=env)
        assert result.exit_code == 0, result.output
    same = {"bootstrap.servers": "h:1", "linger.ms": 5, "socket.keepalive.enable": "true", "sasl.password": SECRET}
    assert seen == [
        {**same, "client.id": "one", "client.rack": "object"},
        {**same, "client.id": "flag", "client.rack": "file"},
    ]


def test_topics_that_are_typed_are_all_that_is_archived(folder: Path) -> None:
    """`--topic pin` does not add the raw topics of a file to it, nor `--raw` its topics."""
    (folder / "headrace.toml").write_text("[archive]\ntopics = ['pin']\nraw_topics = ['clicks']\n")

    def run(*arguments: str) -> Any:
        @click.command()
        @setting_option("archive.topics")
        @setting_option("archive.raw_topics")
        def command(topics: tuple[str, ...], raw_topics: tuple[str, ...]) -> None:
            seen.append(_typed_alone(topics, raw_topics))

        seen: list[Any] = []
        assert CliRunner().invoke(command, list(arguments)).exit_code == 0
        return seen[0]

    assert run() == (("pin",), ("clicks",))
    assert run("--topic", "follow") == (("follow",), ())
    assert run("--raw", "x") == ((), ("x",))
    assert run("--raw", "x", "--topic", "y") == (("y",), ("x",))


def test_wrong_variables_are_named() -> None:
    """A value that a variable cannot have is wrong; a name that is not read is a note with what was meant."""
    env = {"HEADRACE_ARCHIVE_WORKERS": "many", "HEADRACE_ARCHVE": "s3://b/p", "HEADRACE_SPOOL_BYTES_MAX": "5"}
    result = headrace("config", "check", env=env)
    assert result.exit_code == 1
    assert (
        "HEADRACE_ARCHIVE_WORKERS ([archive] workers) is 'many', and must be a whole number, 1 to 64" in result.output
    )
    assert "HEADRACE_SPOOL_BYTES_MAX" in result.output
    assert (
        "HEADRACE_ARCHVE is no variable of headrace's, and is not read; did you mean HEADRACE_ARCHIVE?" in result.output
    )
    assert headrace("config", "check", env={"HEADRACE_ARCHVE": "x"}).exit_code == 0


def test_under_check_a_wrong_file_is_cannot_tell(folder: Path) -> None:
    """`lag --check` means "critical" by 2: settings that cannot be used end it with 3."""
    servers = ("--kafka", "127.0.0.1:1", "--archive", "s3://b/p")
    for text in ("[lag]\nx = 1\n", "[kafka]\nsasl.password_file = '/no/file'\n"):
        (folder / "headrace.toml").write_text(text)
        assert headrace("lag", "--check", *servers).exit_code == 3


def test_an_event_log_takes_the_file_that_is_named_and_no_other(folder: Path) -> None:
    """from_env() goes by HEADRACE_CONFIG; variables win; other programs' sections do not concern it."""
    (folder / "headrace.toml").write_text(
        "[kafka]\nservers = 'k:1'\nclient.rack = 'r'\n[producer]\nservice = 'web'\naudit = true\n"
        "[spool]\nbytes_max = 2000000\nclasses = {pin = 'low'}\n[ours_of_tomorrow]\nx = 1\n"
    )
    env, kafka = with_file({"HEADRACE_CONFIG": "headrace.toml", "HEADRACE_KAFKA": "other:1"})
    made = settings_from(env, kafka)
    assert (made["kafka"], made["service"], made["audit"]) == ("other:1", "web", True)
    assert made["kafka_config"] == {"client.rack": "r"}
    assert (made["spool_limits"].bytes_max, made["spool_limits"].classes) == (2_000_000, {"pin": "low"})
    with pytest.raises(ValueError, match="HEADRACE_SERVICE is not set"):
        EventLog.from_env()
    (folder / "headrace.toml").write_text("[producer]\nservise = 'web'\n")
    with pytest.raises(ValueError, match="did you mean service"):
        with_file({"HEADRACE_CONFIG": "headrace.toml"})


def test_the_store_of_the_file_is_told_to_aws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says of the store stands where AWS's libraries look, unless a variable of theirs is set."""
    (folder / "headrace.toml").write_text(
        "[store]\nurl = 's3://b/p'\nendpoint_url = 'http://127.0.0.1:1'\nregion = 'eu-1'\nprofile = 'p'\n"
    )
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.setenv(name, "")  # so that they are taken away again
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other:1")

    @click.command()
    @archive_option
    def command(archive_url: str) -> None:
        click.echo(archive_url)

    result = CliRunner().invoke(command, [])
    assert result.output == "s3://b/p\n"
    assert (os.environ["AWS_DEFAULT_REGION"], os.environ["AWS_PROFILE"]) == ("eu-1", "p")
    assert os.environ["AWS_ENDPOINT_URL_S3"] == ""
    assert shown()["store.endpoint_url"] == ("http://other:1", "environment", "AWS_ENDPOINT_URL")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)


def test_the_verb_that_shows_refuses_what_is_none() -> None:
    """A verb or a flag that is not there is a usage error."""
    assert "there is no verb lagg" in headrace("config", "show", "lagg").output
    assert headrace("config", "show", "lag", "--nonsense").exit_code == 2


def test_a_value_that_a_verb_refuses_is_told_by_where_it_was_said(folder: Path) -> None:
    """A flag by its name, a variable by its own, a line of the file by its number."""
    servers = ("--kafka", "127.0.0.1:1", "--archive", "s3://b/p")
    told = headrace("archive", *servers, "--workers", "0").output
    assert "Invalid value for '--workers': 0 is not in the range" in told
    told = headrace("archive", *servers, env={"HEADRACE_ARCHIVE_WORKERS": "0"}).output
    assert "Invalid value for HEADRACE_ARCHIVE_WORKERS: 0 is not in the range" in told
    (folder / "headrace.toml").write_text("[local]\nkafka_home = '/no/kafka'\n")
    assert "[local] kafka_home at headrace.toml:2" in headrace("local", "up").output
