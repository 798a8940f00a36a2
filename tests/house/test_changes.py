"""What is told in changes/ can become a section of the changelog: names are right, and the draft holds every text."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from house.tree import ROOT, files, name

KINDS = tuple(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["fragment"])
NAMED = re.compile(rf"(?:[0-9]+|\+[a-z0-9-]+)\.(?:{'|'.join(KINDS)})\.md")
FRAGMENTS = [path for path in files("changes") if path.name != "README.md"]


def draft(folder: Path) -> "subprocess.CompletedProcess[str]":
    """What a release would add to the changelog that lies in the folder; nothing is written."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "1.2.3", "--date", "unreleased"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("path", FRAGMENTS, ids=name)
def test_a_change_is_named_after_its_issue_or_words_and_its_kind(path: Path) -> None:
    """Each file in changes/ is one that a release takes up, and says something, without a dash of its own."""
    assert NAMED.fullmatch(path.name), f"{path.name} is not of the form ISSUE.KIND.md or +WORDS.KIND.md"
    text = path.read_text()
    assert re.match(r"[^\s-]", text), text
    assert [line for line in text.splitlines() if len(line) > 128] == []


def test_the_draft_of_a_release_holds_every_change() -> None:
    """A release's section reads as those before it: a heading, kinds, and each change as an item."""
    done = draft(ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## 1.2.3 (unreleased)\n"), done.stdout
    for path in FRAGMENTS:
        assert "- " + path.read_text().strip().replace("\n", "\n  ") in done.stdout, done.stdout
    assert "\n<!-- towncrier release notes start -->\n\n## " in (ROOT / "CHANGELOG.md").read_text()


def test_a_wrong_name_is_refused(tmp_path: Path) -> None:
    """A file that a release would pass over ends the draft with its name, and so does an issue that is no number."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    changes = tmp_path / "changes"
    changes.mkdir()
    for wrong in ("+spool.mended.md", "spool.fixed.md"):
        (changes / wrong).write_text("Mended.\n")
        done = draft(tmp_path)
        assert done.returncode != 0, done.stdout
        assert wrong.partition(".")[0].strip("+") in done.stderr, done.stderr
        (changes / wrong).rename(changes / "9.fixed.md")
        assert "### Fixed\n\n- Mended. (#9)\n" in draft(tmp_path).stdout
