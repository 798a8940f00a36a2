"""The alert rules, checked by promtool; and firing in a real Prometheus that scrapes a real exporter."""

import subprocess
from pathlib import Path

import pytest
from debian_tools import promtool
from house.tree import ROOT

FOLDER = ROOT / "docker" / "prometheus"


def promtool_says(*arguments: str) -> tuple[int, str]:
    tool = promtool()
    done = subprocess.run(
        [tool.path, *arguments], capture_output=True, text=True, timeout=120, check=False, env=tool.env
    )
    return done.returncode, done.stdout + done.stderr


def test_the_rules_pass_their_own_tests() -> None:
    """Each alert fires when it should, with its labels and its text, and not before."""
    assert promtool_says("check", "config", str(FOLDER / "prometheus.yml"))[0] == 0
    code, said = promtool_says("test", "rules", str(FOLDER / "headrace.rules.test.yml"))
    assert code == 0, said


@pytest.mark.parametrize(
    ("this", "becomes"),
    [
        ('rule="losing-data"}) == 1', 'rule="losing-data"}) == 2'),
        ("for: 1m", "for: 3m"),
        ("> 180", "> 600"),
        ("unless sum by", "and sum by"),
        ("< 3600", "> 3600"),
    ],
)
def test_a_broken_rule_is_seen(this: str, becomes: str, tmp_path: Path) -> None:
    """The rules' tests fail when a threshold, a wait or a condition is another one."""
    rules = (FOLDER / "headrace.rules.yml").read_text()
    assert this in rules
    (tmp_path / "headrace.rules.yml").write_text(rules.replace(this, becomes))
    (tmp_path / "t.yml").write_text((FOLDER / "headrace.rules.test.yml").read_text())
    code, said = promtool_says("test", "rules", str(tmp_path / "t.yml"))
    assert (code, "FAILED" in said) == (1, True)


def test_every_alert_has_a_test_and_a_page() -> None:
    """An alert that no unit test names, or whose runbook does not exist, is a mistake."""
    rules = (FOLDER / "headrace.rules.yml").read_text()
    tests = (FOLDER / "headrace.rules.test.yml").read_text()
    alerts = [line.split("alert:")[1].strip() for line in rules.splitlines() if "- alert:" in line]
    assert len(alerts) == len(set(alerts)) >= 14
    assert [alert for alert in alerts if f"alertname: {alert}\n" not in tests] == []
    pages = [line.split("runbook:")[1].strip().strip('"') for line in rules.splitlines() if "runbook:" in line]
    assert len(pages) == len(alerts)
    assert [page for page in pages if "{{" not in page and not (ROOT / page).exists()] == []
