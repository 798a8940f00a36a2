"""No Python code stands in docs/reading-the-archive.md that tests do not run."""

import re

from plain_readers import PAGE, READERS, blocks


def test_every_python_block_of_the_page_is_one_that_tests_run() -> None:
    """Each block is named after a reader: its block for the folder, and its block for a list of files."""
    assert set(blocks()) == {name for reader in READERS for name in (reader.name, f"{reader.name}-files")}
    opened = re.findall(r"^```\s*python.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(opened) == len(blocks())
