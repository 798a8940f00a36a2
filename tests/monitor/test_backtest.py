"""Rules over an archive: the same answer as when the same records are fed as they came."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from monitor_kit import DAY, T0, S, Watched, rule
from monitor_logins import RULES, login, logins
from small_archive import Rec, SmallArchive

from headrace.cli import monitor as cli_monitor
from headrace.monitor.backtest import backtest, learned
from headrace.monitor.decoding import EventDecoder
from headrace.monitor.partition_panes import PartitionPanes
from headrace.monitor.rules import Rule
from headrace.monitor.rules_file import read_rules
from headrace.monitor.transition import Transition, WindowPoint
from headrace.schemas.catalog import builtin

with tempfile.NamedTemporaryFile("w", suffix=".toml") as _file:
    _file.write(RULES)
    _file.flush()
    CHECKED = read_rules(Path(_file.name))


def archive_of(made: list[Rec], commits: int = 4) -> SmallArchive:
    archive = SmallArchive("login")
    size = -(-len(made) // commits)
    for at in range(0, len(made), size):
        archive.commit(made[at : at + size])
    return archive


def fed(made: list[Rec], rules: list[Rule], until_us: int) -> list[Watched]:
    """The same records as a live run gets them: decoded one by one, partials as bytes, closed by the clock."""
    watched = [Watched(each, partitions=3, origin_us=T0) for each in rules]
    partitions = [PartitionPanes(rules, number, 3) for number in range(3)]
    decoder = EventDecoder(builtin())

    def hand_over() -> None:
        for panes in partitions:
            for each, partial in zip(watched, panes.take(), strict=True):
                each.merge(partial)

    for n, record in enumerate(made):
        event = decoder.decode(record.value or b"")
        panes = partitions[record.partition]
        if event is None:
            panes.malformed()
        else:
            panes.add(event, record.timestamp * 1000)
        if n % 97 == 0:
            hand_over()
    hand_over()
    for each in watched:
        each.until(until_us + each.rule.grace_us)
    return watched


def tried(archive: SmallArchive, rules: list[Rule], from_us: int, to_us: int, **how: Any) -> Any:
    transitions: list[Transition] = []
    points: list[WindowPoint] = []

    def take(told: Any, more: Any) -> None:
        transitions.extend(told)
        points.extend(more)

    counts = backtest(archive.store, rules, from_us, to_us, take, **how)
    return transitions, points, counts


@pytest.mark.parametrize("seed", [1, 2])
def test_a_backtest_gives_the_answer_of_the_live_run(seed: int) -> None:
    """Every window's value, every alert, and every event that was left out, for each kind of reason."""
    made = logins(T0, 6_000, 600, seed)
    transitions, points, counts = tried(archive_of(made), CHECKED, T0, T0 + 600 * S, past_us=0)
    assert counts.records == len(made)
    for live in fed(made, CHECKED, T0 + 600 * S):
        name = live.rule.name
        assert [each for each in transitions if each.rule == name] == live.transitions
        assert [each for each in points if each.rule == name] == live.points
        assert counts.uncounted[name] == live.evaluator.uncounted
    assert {each.rule for each in transitions} == {"failed", "methods", "gone"}
    assert all(counts.uncounted["failed"][reason] for reason in ("late", "duplicate", "malformed"))


def test_a_part_of_the_range_gives_that_part_of_the_answer() -> None:
    """With the past before it, the windows of a later range have the values and alerts that the whole range gave."""
    archive = archive_of(logins(T0, 6_000, 600, 3))
    whole, points, _ = tried(archive, CHECKED, T0, T0 + 600 * S, past_us=0)
    part, part_points, _ = tried(archive, CHECKED, T0 + 240 * S, T0 + 480 * S, past_us=240 * S)

    def within(each: Any) -> bool:
        return bool(T0 + 240 * S < each.window_end_us <= T0 + 480 * S)

    assert part == sorted([each for each in whole if within(each)], key=whole.index)
    inside = [each for each in points if each.start_us >= T0 + 240 * S and each.end_us <= T0 + 480 * S]
    assert part_points == inside
    assert part


def test_what_was_learned_is_what_a_run_of_that_time_knows() -> None:
    """A new rule begins with the values of the archive: none of them is new."""
    made = [
        Rec(0, n, login(T0 + n * S, n, method="SSO" if n % 2 else "APPLE"), None, T0 // 1000 + n * 1000)
        for n in range(60)
    ]
    checked = rule("new", group_by=["method"], window="10s", first_seen={"remember": "1d"}, learn="10s")
    known = learned(archive_of(made).store, checked, T0 + DAY, past_us=DAY)
    assert sorted(known.seen.groups()) == [("APPLE",), ("SSO",)]


def test_the_verb_lists_what_would_have_fired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines for people, JSON for programs, and on standard error what was read and what was not counted."""
    archive = archive_of(logins(T0, 6_000, 600, 1))
    monkeypatch.setattr(cli_monitor, "open_store", lambda _url: archive.store)
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    asked = ["backtest", str(path), "--archive", "s3://b/p", "--from", "2026-11-23T00:00:00Z"]
    asked += ["--to", "2026-11-23T00:10:00Z"]
    shown = CliRunner().invoke(cli_monitor.command, asked)
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.stdout.splitlines() if " failed: " in line]
    assert lines[0].startswith("2026-11-23T00:04:")
    assert " firing   failed: " in lines[0]
    assert lines[0].endswith("% failed")
    assert " resolved failed: " in lines[1]
    assert "failed: not counted: " in shown.stderr
    assert "login: snapshot 4" in shown.stderr
    machine = CliRunner().invoke(cli_monitor.command, [*asked, "--json", "--points"])
    values = [json.loads(line) for line in machine.stdout.splitlines()]
    assert {each["kind"] for each in values} == {"alert", "point"}
    assert next(each for each in values if each["kind"] == "alert")["fingerprint"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--from", "5", "--to", "2026-11-23T00:10:00Z"], "expected a time with its zone"),
        (["--from", "2026-11-23T00:10:00Z", "--to", "2026-11-23T00:10:00Z"], "the time range is empty"),
        (["--from", "2026-11-23T00:10:00Z", "--to", "2026-11-24T00:10:00Z", "--past", "7"], "--past must be a length"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(more: list[str], said: str) -> None:
    """Said before anything is read; exit code 2."""
    shown = CliRunner().invoke(cli_monitor.command, ["backtest", "ready", "--archive", "s3://b/p", *more])
    assert (shown.exit_code, said in shown.stderr) == (2, True), shown.output


def test_check_says_what_is_fine_and_what_is_wrong(tmp_path: Path) -> None:
    """Exit code 0 with a line for each rule, 1 with a line for each mistake; the ready rules can be printed."""
    fine = CliRunner().invoke(cli_monitor.command, ["check", "ready"])
    assert (fine.exit_code, fine.stdout.splitlines()[-1]) == (0, "5 rules can be run")
    printed = CliRunner().invoke(cli_monitor.command, ["check", "ready", "--print"])
    (tmp_path / "copy.toml").write_text(printed.stdout)
    assert CliRunner().invoke(cli_monitor.command, ["check", str(tmp_path / "copy.toml")]).exit_code == 0
    (tmp_path / "bad.toml").write_text('[rule.a]\ntype = "pin"\nabov = 1\n')
    bad = CliRunner().invoke(cli_monitor.command, ["check", str(tmp_path / "bad.toml")])
    assert (bad.exit_code, "bad.toml:3: rule a: there is no key 'abov'" in bad.stderr) == (1, True)
