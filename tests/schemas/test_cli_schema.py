"""`headrace schema`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from servers import Servers
from team_schemas import enum, field, record, write

from headrace.cli.schema import command
from headrace.producer.published import read_published
from headrace.schemas import Pin
from headrace.schemas.canonical import fingerprint, wire_text


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.fixture
def team(tmp_path: Path) -> Path:
    write(tmp_path / "order.avsc", record(field("a", "long"), field("s", enum("S", "A")), key="a", doc="An order."))
    return tmp_path


def test_list(team: Path) -> None:
    """Each type with its fingerprint, releases, key and doc; ours without a folder."""
    ours = run("list")
    assert ours.exit_code == 0
    listed = [line.split()[0] for line in ours.output.splitlines()]
    assert listed == ["alert", "audit", "error", "feed_load", "follow", "login", "pin"]
    assert Pin.FINGERPRINT.hex() in ours.output
    assert "0 released  key a         An order." in run("list", "--dir", team).output


def test_show(team: Path) -> None:
    """The fields of a type, or one of its texts, each usable by a script."""
    assert "board_id: nullable long = null  the board" in run("show", "pin").output
    assert "    UNKNOWN, A\n" in run("show", "order", "--dir", team).output
    assert run("show", "pin", "--fingerprint").output == Pin.FINGERPRINT.hex() + "\n"
    assert run("show", "pin", "--json").output == Pin.SCHEMA + "\n"
    assert fingerprint(json.loads(run("show", "pin", "--canonical").output)) == Pin.FINGERPRINT


def test_show_an_unknown_type() -> None:
    """Exit code 2, and the types that there are."""
    result = run("show", "pinn")
    assert result.exit_code == 2
    assert "there is no event type pinn; there are alert, audit, error, feed_load, follow, login, pin" in result.output


def test_check(team: Path) -> None:
    """Exit code 0 with a summary, for a team's folder and for ours."""
    assert run("check", team).output == f"{team}: 1 types, 0 releases, no rule broken\n"
    assert run("check").exit_code == 0


def test_check_names_every_broken_rule(team: Path) -> None:
    """Exit code 1; one line a broken rule with file, field, rule and what to do."""
    write(team / "order.avsc", record(field("dt", "long"), field("b", ["null", "long"])))
    result = run("check", team)
    assert result.exit_code == 1
    assert "order.avsc: dt: [reserved]" in result.output
    assert 'order.avsc: b: [null] a nullable field has no default: add "default": null' in result.output
    assert f"{team}: 2 broken rules" in result.output


@pytest.mark.parametrize(("name", "code"), [("missing", 2), ("empty", 1), ("broken", 1)])
def test_check_a_folder_that_cannot_be_read(tmp_path: Path, name: str, code: int) -> None:
    """A path that is no folder is a usage error; what is in a folder is what is checked."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "order.avsc").write_text("{")
    result = run("check", tmp_path / name)
    assert result.exit_code == code
    assert str(tmp_path / name) in result.output


def test_generate(team: Path) -> None:
    """Writes the module, says when it is current, and with --check only looks."""
    out = team / "events.py"
    missing = run("generate", team, "--out", out, "--check")
    assert missing.exit_code == 1
    assert f"headrace schema generate {team} --out {out}" in missing.output
    assert not out.exists()
    assert run("generate", team, "--out", out).output == f"wrote {out}: 1 types\n"
    assert "class Order(Event):" in out.read_text()
    assert run("generate", team, "--out", out).output == f"{out} is current\n"
    assert run("generate", team, "--out", out, "--check").exit_code == 0
    out.write_text(out.read_text() + "# edited\n")
    assert run("generate", team, "--out", out, "--check").exit_code == 1


def test_generate_refuses_broken_schemas(team: Path) -> None:
    """Nothing is written for a folder that breaks a rule."""
    write(team / "order.avsc", record(field("dt", "long")))
    result = run("generate", team, "--out", team / "events.py")
    assert result.exit_code == 1
    assert "[reserved]" in result.output
    assert not (team / "events.py").exists()


def test_generate_refuses_names_that_collide(team: Path) -> None:
    """What only the generator can see is an error of its own."""
    write(team / "order_s.avsc", {**record(), "name": "OrderS"})
    result = run("generate", team, "--out", team / "events.py")
    assert result.exit_code == 1
    assert "the name OrderS is taken" in result.output


def test_release(team: Path) -> None:
    """Freezes what changed; a broken folder is not released."""
    assert run("release", team).output == "released order/1.avsc\n"
    assert run("release", team).output == "nothing changed since the last releases\n"
    write(team / "order.avsc", record(field("b", "long")))
    result = run("release", team)
    assert result.exit_code == 1
    assert "order.avsc: a: [removed]" in result.output
    assert not (team / "released" / "order" / "2.avsc").exists()


def test_a_damaged_manifest_stops_every_verb(team: Path) -> None:
    """check, generate and release tell it, with exit code 1."""
    run("release", team)
    (team / "released" / "MANIFEST.sha256").write_text("nonsense\n")
    for result in (run("check", team), run("generate", team, "--out", team / "e.py"), run("release", team)):
        assert result.exit_code == 1
        assert "line 1" in result.output


@pytest.mark.parametrize("place", ["kafka", "archive"])
def test_check_against_a_place_needs_its_address(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Exit code 2 without one, saying which option or variable to give."""
    monkeypatch.delenv(f"HEADRACE_{place.upper()}", raising=False)
    result = run("check", "--against", place)
    assert result.exit_code == 2
    assert f"--against {place} needs --{place}, or HEADRACE_{place.upper()}" in result.output


def test_a_wrong_address_is_told() -> None:
    """Exit code 3 when nobody answers there."""
    result = run("publish", "--kafka", "127.0.0.1:1")
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.output


@pytest.mark.servers
def test_publish_and_check_against_kafka(servers: Servers, tmp_path: Path) -> None:
    """What CI published is found again; a change that breaks it is told, though the folder knows no release of it."""
    name = servers.new_topic().replace("-", "")  # a namespace that no other test uses
    first = record(field("a", "long"), namespace=name)
    write(tmp_path / "order.avsc", first)
    published = run("publish", tmp_path, "--kafka", servers.kafka)
    assert published.exit_code == 0, published.output
    assert "published 1 schemas" in published.output
    assert (fingerprint(first), wire_text(first)) in read_published(servers.kafka)
    assert run("check", tmp_path, "--against", "kafka", "--kafka", servers.kafka).exit_code == 0
    write(tmp_path / "order.avsc", record(field("a", "string"), namespace=name))
    assert run("check", tmp_path).exit_code == 0
    result = run("check", tmp_path, "--against", "kafka", "--kafka", servers.kafka)
    assert result.exit_code == 1
    assert f"order.avsc: a: [retyped] is string, but long in Kafka's {fingerprint(first).hex()}" in result.output


@pytest.mark.servers
def test_check_against_the_archive(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schemas that the archive keeps beside its data bind as releases do; another team's there do not matter."""
    for name, value in servers.env.items():
        monkeypatch.setenv(name, value)
    url = servers.store_url
    prefix = url.split("/", 3)[3]
    first = record(field("a", "long"))
    other = {**record(field("a", "bytes")), "name": "Other"}
    for schema in (first, other):
        key = f"{prefix}/schemas/{fingerprint(schema).hex()}.avsc"
        servers.s3().put_object(Bucket=servers.bucket, Key=key, Body=wire_text(schema).encode())
    write(tmp_path / "order.avsc", first)
    good = run("check", tmp_path, "--against", "archive", "--archive", url)
    assert good.exit_code == 0, good.output
    write(tmp_path / "order.avsc", record(field("a", "string")))
    bad = run("check", tmp_path, "--against", "archive", "--archive", url)
    assert bad.exit_code == 1
    assert f"is string, but long in the archive's schemas/{fingerprint(first).hex()}.avsc" in bad.output
