"""`headrace erase` and `headrace expire` as typed: what they show, do and refuse, and what other verbs say then."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from small_archive import SmallArchive

Run = Callable[..., Result]
WHY = ("--why", "GDPR-4711", "--who", "dpo", "--yes")


@pytest.fixture(autouse=True)
def opened(archive: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both verbs open the small archive: users 0 to 4 and 6 in offsets 0 to 6, 9 and 10; offset 5 is quarantined."""
    for verb in ("erase", "expire"):
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", lambda _url: archive.store)


def test_without_yes_nothing_is_changed(run: Run, archive: SmallArchive) -> None:
    """Counts by file, and where else such rows may be."""
    before = dict(archive.memory.objects)
    result = run("erase", "pin", "--where", "user_id=3")
    assert result.exit_code == 0, result.output
    assert "pin: 1 records in 1 files match; 4 files were looked at" in result.stdout
    assert "quarantine: 1 records there stay" in result.stdout
    assert "look elsewhere too: Kafka" in result.stdout
    assert "nothing was changed" in result.stdout
    value = json.loads(run("erase", "pin", "--where", "user_id in (3, 9)", "--json").stdout)
    assert (value["version"], value["erased"], value["records"], value["entries"]) == (1, False, 2, [])
    assert [(each["records"], each["of"]) for each in value["files"]] == [(1, 5), (1, 2)]
    assert archive.memory.objects == before


def test_what_was_erased_is_named_by_all(run: Run) -> None:
    """The log, verify, a replay and its receipt say how many, where, and by which entry; the rest is exact."""
    result = run("erase", "pin", "--where", "user_id=3", *WHY)
    assert result.exit_code == 0, result.output
    assert "1 records in 1 files erased (entries 5)" in result.stdout
    assert "erase" in run("log", "pin").stdout.splitlines()[-2]
    verified = run("verify", "pin")
    assert verified.exit_code == 0, verified.output
    said = "erased: pin/0: 1 records at offsets 3, by entry 5"
    assert said in verified.stdout
    assert "GDPR-4711" in verified.stdout
    assert "1 records erased; head 5" in verified.stdout
    (removed,) = json.loads(run("verify", "pin", "--json").stdout)["removed"]
    assert (removed["what"], removed["offsets"], removed["entry"]) == ("erased", [[3, 4]], 5)
    replayed = run("replay", "pin", "--into", "stdout", "--format", "raw")
    assert replayed.exit_code == 0, replayed.output
    assert "8 records" in replayed.stderr
    assert said in replayed.stderr
    assert len(replayed.stdout.splitlines()) == 8


def test_a_replay_of_nothing_but_erased_rows_says_so(run: Run) -> None:
    """No record comes out, and what is said at the end tells why."""
    run("erase", "pin", "--where", "user_id=3", *WHY)
    result = run("replay", "pin", "--from", "3", "--to", "4", "--into", "stdout")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "replayed 0 records" in result.stderr
    assert "erased: pin/0: 1 records at offsets 3" in result.stderr


def test_the_condition_can_be_proved_later(run: Run) -> None:
    """By the key that only the output had; the log has neither the condition nor the key."""
    value = json.loads(run("erase", "pin", "--where", "user_id=3", *WHY, "--json").stdout)
    entries = json.loads(run("log", "pin", "--json").stdout)["entries"]
    details = entries[-1]["details"]
    assert details["condition_hmac"] == value["condition_hmac"]
    assert (details["why"], details["who"], details["erasure"]) == ("GDPR-4711", "dpo", value["erasure"])
    text = json.dumps(entries)
    assert value["condition_key"] not in text
    assert "user_id" not in text


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["erase", "pins", "--where", "user_id=3"], "no topic 'pins'"),
        (["erase", "pin"], "name the rows to erase"),
        (["erase", "pin", "--dt", "2026-11-23"], "headrace expire"),
        (["erase", "pin", "--from", "3", "--to", "4"], "--partition"),
        (["erase", "pin", "--where", "user_idd=3"], "user_idd"),
        (["erase", "pin", "--where", "user_id"], "not true or false"),
        (["erase", "pin", "--where", "user_id=3", "--yes"], "--why"),
        (["erase", "pin", "--where", "service='bob@x.org'", "--why", "bob@x.org asked", "--yes"], "not the person"),
        (["expire", "pins", "--before", "2026-11-24"], "no topic 'pins'"),
        (["expire", "pin", "--before", "yesterday"], "yesterday"),
        (["expire", "pin", "--before", "2026-11-24", "--old-versions"], "--yes"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, args: list[str], told: str, archive: SmallArchive) -> None:
    """Exit code 2, the message says why, and nothing was written."""
    before = dict(archive.memory.objects)
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert archive.memory.objects == before


def test_dates_expire_and_are_not_missed(run: Run, archive: SmallArchive) -> None:
    """verify is content and says what expired; a replay of such a date is refused by the entry's number."""
    shown = run("expire", "pin", "--before", "2026-11-24")
    assert "8 records of 1 dates before 2026-11-24; nothing was changed" in shown.stdout
    result = run("expire", "pin", "--before", "2026-11-24", "--yes")
    assert result.exit_code == 0, result.output
    assert "8 records of 1 dates before 2026-11-24 expired (entries 4)" in result.stdout
    assert not [key for key in archive.memory.objects if "dt=2026-11-23" in key]
    verified = run("verify", "pin")
    assert verified.exit_code == 0, verified.output
    assert "expired: pin/0: 8 records among offsets [0, 11), by entry 4" in verified.stdout
    dated = run("replay", "pin", "--dt", "2026-11-23", "--into", "stdout")
    assert dated.exit_code == 2
    assert "dt 2026-11-23 of pin expired, by entry 4" in dated.output
    rest = run("replay", "pin", "--into", "stdout", "--format", "raw")
    assert rest.exit_code == 0, rest.output
    assert len(rest.stdout.splitlines()) == 1
    assert "8 records among offsets [0, 11)" in rest.stderr
    assert "0 records of 0 dates" in run("expire", "pin", "--before", "2026-11-24", "--yes").stdout
    value = json.loads(run("expire", "pin", "--before", "2026-11-25", "--yes", "--json").stdout)
    assert [(each["dt"], each["rows"]) for each in value["dates"]] == [("2026-11-24", 1)]


def test_both_teach_themselves(run: Run) -> None:
    """--help says what happens to the log, to old versions, and what to upgrade first."""
    erase, expire = run("erase", "--help").stdout, run("expire", "--help").stdout
    for word in ("old versions", "upgrade", "Quarantined", "verify"):
        assert word in erase
    for word in ("late", "upgrade", "Glacier"):
        assert word in expire
