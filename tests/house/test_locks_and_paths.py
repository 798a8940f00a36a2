"""Rules about what must not be written down: where packages come from, and where this was made."""

import re
from pathlib import Path

import pytest

from house.tree import files, name, texts

LOCKS = list(files("requirements", "localstack", "docker", suffix=".txt"))
PINNED = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s;]+( ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
# Home folders, and the places where build machines keep their work. No file of a project can mean one of them.
MACHINE = re.compile(r"(?<![\w.~-])/(?:root|home|Users|work|workspace|builds)/[\w.-]+|/tmp/[a-z]/|C:\\Users")


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_a_lock_holds_only_pins_with_their_hashes(lock: Path) -> None:
    """A lock names no index and no URL: each line is a pinned version, a hash, or a comment."""
    strange = [
        line
        for line in lock.read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#") and not PINNED.match(line) and not HASH.match(line)
    ]
    assert strange == []


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_a_lock_mentions_no_address(lock: Path) -> None:
    """Not even a comment of a lock says where its packages came from."""
    assert re.findall(r"(?i)\w+://\S+|index-url|find-links|trusted-host", lock.read_text()) == []


def test_there_are_locks() -> None:
    """The rules above had something to look at."""
    assert {name(lock) for lock in LOCKS} >= {"requirements/all.txt", "requirements/dev.txt", "docker/requirements.txt"}


def test_no_file_names_a_folder_of_some_machine() -> None:
    """No file of the tree holds a path that exists only where it was written."""
    found = [f"{name(path)}: {match}" for path, text in texts() for match in MACHINE.findall(text)]
    assert [each for each in found if not each.startswith(f"{name(Path(__file__))}:")] == []
