"""Releases are frozen."""

from pathlib import Path

import pytest
from team_schemas import field, record, write

from headrace.schemas.canonical import fingerprint
from headrace.schemas.catalog import builtin_folder
from headrace.schemas.errors import SchemaError
from headrace.schemas.folder import read_folder
from headrace.schemas.release import changed_releases, release

# What was released, once and for all. A new release adds a line; no line ever changes.
RELEASED = {
    "alert/1": "207fe291567f2d25",
    "audit/1": "4fbb3c3800332725",
    "error/1": "de03009276e756ee",
    "error/2": "de03009276e756ee",
    "feed_load/1": "617a8544f1e4aeef",
    "follow/1": "c87a6cf498c0a40a",
    "login/1": "eba7d0aceda32089",
    "pin/1": "b1ae88deceb78571",
}


def test_our_releases_never_change() -> None:
    """Every release is byte for byte what the manifest recorded, and has the fingerprint it was released with."""
    folder = read_folder(builtin_folder())
    assert list(changed_releases(folder)) == []
    found = {f"{f.event_type}/{f.release}": fingerprint(f.schema).hex() for f in folder.files() if f.release}
    assert found == RELEASED


def test_the_first_release_freezes_all_types(tmp_path: Path) -> None:
    """Files are copied byte for byte, and recorded."""
    source = write(tmp_path / "order.avsc", record(field("a", "long")))
    assert release(read_folder(tmp_path)) == ["order/1.avsc"]
    assert (tmp_path / "released" / "order" / "1.avsc").read_bytes() == source.read_bytes()
    assert list(changed_releases(read_folder(tmp_path))) == []


def test_only_what_changed_is_released_again(tmp_path: Path) -> None:
    """The same schema, or one with other docs, is no new release."""
    write(tmp_path / "order.avsc", record(field("a", "long")))
    release(read_folder(tmp_path))
    assert release(read_folder(tmp_path)) == []
    write(tmp_path / "order.avsc", record(field("a", "long", doc="said better")))
    assert release(read_folder(tmp_path)) == []
    write(tmp_path / "order.avsc", record(field("a", "long"), field("b", "int", default=0)))
    assert release(read_folder(tmp_path)) == ["order/2.avsc"]


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    """Two releases made from one reading of the folder: the second fails instead of replacing the first."""
    write(tmp_path / "order.avsc", record(field("a", "long")))
    read = read_folder(tmp_path)
    release(read)
    with pytest.raises(FileExistsError):
        release(read)


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    """A line that is no digest and file stops the check instead of passing it."""
    write(tmp_path / "order.avsc", record(field("a", "long")))
    release(read_folder(tmp_path))
    (tmp_path / "released" / "MANIFEST.sha256").write_text("nonsense\n")
    with pytest.raises(SchemaError, match="line 1"):
        list(changed_releases(read_folder(tmp_path)))
