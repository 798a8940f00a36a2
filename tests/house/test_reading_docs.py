"""docs/reading-the-archive.md holds no Python code that tests do not run, and names the versions that they run."""

import re
from importlib.util import find_spec
from pathlib import Path

from plain_readers import PACKAGES, PAGE, READERS, blocks
from spark_session import LOCK


def test_every_python_block_of_the_page_is_one_that_tests_run() -> None:
    """Each block is named after a reader: its block for the folder, and for a list of files; and headrace's own two."""
    named = {name for reader in READERS for name in (reader.name, f"{reader.name}-files")}
    assert set(blocks()) == named | {"replay-open", "spark-frame"}
    opened = re.findall(r"^```\s*python.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(opened) == len(blocks())


def test_the_connector_is_the_one_of_sparks_hadoop() -> None:
    """The page and the lock name hadoop-aws in the version of the Hadoop that pyspark brings."""
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    jars = (Path(spec.origin).parent / "jars").glob("hadoop-client-api-*.jar")
    versions = [jar.stem.removeprefix("hadoop-client-api-") for jar in jars]
    assert re.findall(r"^org\.apache\.hadoop:hadoop-aws:(\S+)", LOCK.read_text(), re.MULTILINE) == versions
    assert re.findall(r"hadoop-aws:([\d.]+)", PACKAGES) == versions
    assert PACKAGES in blocks()["spark"]
