"""Plans and receipts as typed: what is shown, kept, run later, and found to be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from small_archive import Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import log_key
from headrace.archiver.part_digest import PartDigest

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("archive")


def replays(archive: SmallArchive) -> list[str]:
    """The keys of what replays left in the archive."""
    return sorted(key for key in archive.memory.objects if key.startswith("replays/"))


def receipt_of(archive: SmallArchive) -> dict[str, Any]:
    (key,) = (key for key in replays(archive) if "receipt" in key)
    found: dict[str, Any] = json.loads(archive.memory.objects[key])
    return found


def test_a_plan_is_shown_and_nothing_is_written(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """--plan-only: files, parts, records, bytes, gaps and the target; no file, no object."""
    before = dict(archive.memory.objects)
    result = run("replay", "pin", "--into", f"parquet:{tmp_path / 'out'}", "--plan-only")
    assert result.exit_code == 0
    header, row, gap = result.stderr.splitlines()
    assert header.split()[:8] == ["topic", "snapshot", "partitions", "files", "parts", "records", "bytes", "gaps"]
    assert row.split()[:6] == ["pin", "3", "1", "4", "4", "9"]
    assert row.endswith(f"parquet:{tmp_path / 'out'}")
    assert "offsets [7, 9) not archived: retention" in gap
    assert archive.memory.objects == before
    assert list(tmp_path.iterdir()) == []


def test_a_saved_plan_runs_as_it_stands(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """What was archived after the plan was made is not read: the snapshot is in the plan."""
    plan, out = tmp_path / "plan.json", tmp_path / "out.jsonl"
    saved = run("replay", "pin", "--into", f"jsonl:{out}", "--format", "raw", "--save", str(plan))
    assert (saved.exit_code, out.exists()) == (0, False)
    archive.commit([Rec(0, 11, pin_value(11))])
    result = run("replay", "--plan", str(plan))
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["offset"] for line in out.read_text().splitlines()] == [0, 1, 2, 3, 4, 5, 6, 9, 10]


def test_a_plan_that_was_edited_is_refused(run: Run, tmp_path: Path) -> None:
    """A plan says what was agreed to; a changed one says nothing."""
    plan = tmp_path / "plan.json"
    run("replay", "pin", "--into", f"jsonl:{tmp_path / 'out'}", "--save", str(plan))
    plan.write_text(plan.read_text().replace('"rows":9', '"rows":8'))
    result = run("replay", "--plan", str(plan))
    assert result.exit_code == 2
    assert "changed after it was saved" in result.stderr


def test_a_log_that_was_changed_after_the_plan_is_damage(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """The plan holds the head's hash: another commit in its place is seen, although it is a commit that fits."""
    plan = tmp_path / "plan.json"
    run("replay", "pin", "--into", f"jsonl:{tmp_path / 'out'}", "--save", str(plan))
    key = log_key("pin", 3)
    archive.memory.objects[key] = archive.memory.objects[key].replace(b"2026-11-23T12:00", b"2026-11-23T13:00")
    result = run("replay", "--plan", str(plan))
    assert result.exit_code == 1
    assert "entry 3 of pin" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_receipt_says_what_was_read_and_written(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Each part with the digest that was found, the gap, the file's hash; exact, since raw lines are the records."""
    out = tmp_path / "out.jsonl"
    result = run("replay", "pin", "--into", f"jsonl:{out}", "--format", "raw")
    receipt = receipt_of(archive)
    assert (receipt["exact"], receipt["reasons"], receipt["records"]) == (True, [], 9)
    (topic,) = receipt["topics"]
    parts = [part for file in archive.log.state.files.values() for part in file.file.parts]
    assert sorted(part["digest"] for part in topic["read"]["parts"]) == sorted(part.digest for part in parts)
    assert topic["gaps"][0]["from"] == 7
    assert topic["target"]["bytes"] == out.stat().st_size
    assert f"receipt (exact): memory://archive/replays/{receipt['id']}/receipt.json" in result.stderr


def test_decoded_lines_are_not_exact_and_the_receipt_says_so(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Fields for people do not give the bytes back."""
    result = run("replay", "pin", "--into", f"jsonl:{tmp_path / 'out'}")
    assert "not exact: values are decoded" in result.stderr
    assert receipt_of(archive)["exact"] is False


def test_where_makes_a_replay_inexact(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Rows chosen by columns leave out what could not be decoded: here the record that is no event."""
    out = tmp_path / "out"
    result = run("replay", "pin", "--where", "user_id >= 0", "--format", "raw", "--into", f"jsonl:{out}")
    assert result.exit_code == 0
    assert len(out.read_text().splitlines()) == 8
    assert "chosen by their columns (user_id >= 0)" in receipt_of(archive)["reasons"][0]


def test_keys_choose_records(run: Run) -> None:
    """--key is exact, and a key that nobody has gives nothing, after everything was read and checked."""
    some = run("replay", "pin", "--key", "k", "--into", "stdout")
    assert len(some.stdout.splitlines()) == 7
    none = run("replay", "pin", "--key-hex", "ff", "--into", "stdout")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "replayed 0 records of pin, all 4 parts checked" in none.stderr


def test_a_receipt_verifies_until_the_file_changes(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Read back and compared; a changed byte or a file that is gone exits 1 and is named."""
    for kind in ("jsonl", "avro", "parquet"):
        out = tmp_path / f"out.{kind}"
        form = ["--format", "raw"] if kind == "jsonl" else []
        done = run("replay", "pin", "--into", f"{kind}:{out}", *form, "--receipt", str(tmp_path / "receipt.json"))
        assert done.exit_code == 0, done.output
        good = run("verify", "--receipt", str(tmp_path / "receipt.json"))
        assert good.exit_code == 0, good.output
        assert "as its receipt says; 9 records in 1 targets read" in good.stdout
        out.write_bytes(out.read_bytes()[:-1] + b"?")
        bad = run("verify", "--receipt", str(tmp_path / "receipt.json"))
        assert bad.exit_code == 1
        assert f"WRONG {out}" in bad.stdout
        out.unlink()
        assert run("verify", "--receipt", str(tmp_path / "receipt.json")).exit_code == 1
    assert replays(archive) == []


def test_a_receipt_is_found_in_the_archive_by_its_id(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """The id is what the replay said; an unknown one exits 2."""
    run("replay", "pin", "--into", f"avro:{tmp_path / 'out'}")
    assert run("verify", "--receipt", str(receipt_of(archive)["id"])).exit_code == 0
    assert run("verify", "--receipt", "nope").exit_code == 2


def test_a_file_with_other_records_is_found_out(run: Run, tmp_path: Path) -> None:
    """A receipt that was made to fit another file's bytes still has the digest of the records."""
    out, receipt = tmp_path / "out", tmp_path / "receipt.json"
    run("replay", "pin", "--into", f"jsonl:{out}", "--format", "raw", "--receipt", str(receipt))
    text = receipt.read_text()
    digest = json.loads(text)["topics"][0]["target"]["partitions"][0]["digest"]
    receipt.write_text(text.replace(digest, PartDigest().hexdigest()))
    result = run("verify", "--receipt", str(receipt))
    assert result.exit_code == 2
    assert "changed after it was written" in result.stderr


def test_the_same_replay_again_leaves_its_receipt(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Equal bytes each time: one plan, one receipt, whatever the kind of file."""
    for kind in ("jsonl", "avro", "parquet"):
        for _ in range(2):
            assert run("replay", "pin", "--into", f"{kind}:{tmp_path / kind}", "--overwrite").exit_code == 0
    assert len(replays(archive)) == 6


def test_resume_runs_the_plan_that_was_kept(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """--resume needs nothing but the id; with anything that selects it is refused."""
    out = tmp_path / "out"
    run("replay", "pin", "--into", f"avro:{out}")
    out.unlink()
    name = str(receipt_of(archive)["id"])
    assert run("replay", "--resume", name).exit_code == 0
    assert out.exists()
    assert run("replay", "--resume", name, "--dt", "2026-11-23").exit_code == 2
    assert run("replay", "--resume", "nope").exit_code == 2


def test_no_records_is_an_answer_only_when_that_was_said(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """A date without files exits 1, unless --allow-empty is in the plan; then the receipt says 0."""
    arguments = ["replay", "pin", "--dt", "1999-01-01", "--into", f"parquet:{tmp_path / 'out'}"]
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "--allow-empty" in refused.stderr
    assert not (tmp_path / "out").exists()
    allowed = run(*arguments, "--allow-empty", "--receipt", str(tmp_path / "receipt"))
    assert allowed.exit_code == 0, allowed.output
    assert run("verify", "--receipt", str(tmp_path / "receipt")).exit_code == 0
    assert json.loads((tmp_path / "receipt").read_text())["records"] == 0
    assert replays(archive) == []  # neither the refused run nor the finished one leaves its plan


def test_a_dry_run_reads_everything_and_writes_nothing(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Damage is found; where there is none it says what would be replayed."""
    arguments = ["replay", "pin", "--into", f"jsonl:{tmp_path / 'out'}", "--dry-run"]
    good = run(*arguments)
    assert (good.exit_code, list(tmp_path.iterdir()), replays(archive)) == (0, [], [])
    assert "dry run: would replay 9 records" in good.stdout
    key = max(key for key in archive.memory.objects if key.startswith("data/"))
    del archive.memory.objects[key]
    bad = run(*arguments)
    assert bad.exit_code == 1
    assert key in bad.stderr


def test_many_topics_need_a_place_for_each(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """{topic} in the name; the receipt names both."""
    SmallArchive("follow", form="raw", store=archive.store).commit([Rec(0, 0, b"x")])
    assert run("replay", "pin", "follow", "--into", f"avro:{tmp_path / 'out'}").exit_code == 2
    result = run("replay", "pin", "follow", "--into", f"avro:{tmp_path}/{{topic}}.avro")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["follow.avro", "pin.avro"]
    topics = receipt_of(archive)["topics"]
    assert [each["topic"] for each in topics] == ["pin", "follow"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["pin", "--into", "avro:x", "--format", "event"], "records as they are"),
        (["pin", "--into", "jsonl:x", "--strip-headers"], "kafka:TOPIC"),
        (["pin", "--into", "jsonl:x", "--rate", "5"], "--rate goes with"),
        (["pin", "--into", "kafka:x"], "--target-kafka"),
        (["pin", "--into", "stdout", "--where", "nope > 1"], "nope"),
        (["pin", "--into", "stdout", "--where", "user_id"], "not true or false"),
        (["pin", "--into", "stdout", "--key-hex", "xy"], "--key-hex"),
        (["pin", "--into", "stdout", "--from", "2026-11-23T10:00", "--tz", "Nowhere/At-all"], "no such time zone"),
        (["--into", "stdout"], "name a topic"),
        (["pin", "pin", "--into", "stdout"], "named twice"),
        (["--plan", "x", "--resume", "y"], "only one"),
        (["--plan", "/nonexistent"], "cannot read"),
    ],
)
def test_requests_that_contradict_themselves_exit_2(
    run: Run, arguments: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what goes with what."""
    monkeypatch.chdir(tmp_path)
    result = run("replay", *arguments)
    assert result.exit_code == 2, result.output
    assert hint in result.stderr
